import { Stack, Validations } from 'aws-cdk-lib';

const nag = 'AwsSolutions::AwsSolutions-';

/** What AWS's own rules say against this stack, and why it is so all the same. Everything else that they find is an error. */
const accepted: readonly { readonly of: readonly string[]; readonly id: string; readonly reason: string }[] = [
  {
    of: ['Administrator', 'ReplicationUser'], id: `${nag}SMG4`,
    reason: 'A rotation is yours to switch on, with the interval that your rules ask for; the services find it without a restart.',
  },
  { of: ['Source'], id: `${nag}RDS11`, reason: 'Who may connect is decided by security groups, not by a port that is hard to guess.' },
  {
    of: ['Bucket'], id: `${nag}S1`,
    reason: 'Who reads the objects is logged account-wide, by CloudTrail data events or by access logs into a bucket that this stack does not know.',
  },
  {
    of: ['Replicate', 'Deliver', 'Check', 'Setup'], id: `${nag}ECS2`,
    reason: 'The environment holds the configuration, on purpose: docs/why/configuration-in-the-task-definition.md. Passwords come from Secrets Manager.',
  },
  {
    of: ['Replicate', 'Deliver', 'Check'], id: 'CloudFormation-Validate::E1029',
    reason: 'The ${…} in the configuration are for the daemon to fill in, not for CloudFormation.',
  },
  { of: ['Cluster'], id: `${nag}ECS4`, reason: 'The alarms need no Container Insights, which cost extra; switch them on if you want their charts.' },
  { of: ['ExecutionPolicy'], id: `${nag}IAM5[Resource::*]`, reason: 'ecr:GetAuthorizationToken knows no resources.' },
  ...['replicate', 'deliver', 'tools'].map((log) => ({
    of: ['ExecutionPolicy'], id: `${nag}IAM5[Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/binlogstreamer/NAME/${log}:*]`,
    reason: 'ECS names the streams of the log group.',
  })),
  ...['/*', '/.binlogstreamer/probe/*'].map((keys) => ({
    of: ['DeliverPolicy'], id: `${nag}IAM5[Resource::arn:<AWS::Partition>:s3:::BUCKET${keys}]`,
    reason: 'Keys follow from time and content of the records.',
  })),
];

/** Acknowledges what is accepted, on exactly the resources that it is accepted of. */
export function acknowledge(stack: Stack, name: string, bucket: string): void {
  for (const { of, id, reason } of accepted) {
    for (const child of of) {
      const construct = stack.node.tryFindChild(child); // what was there before the stack is not part of it
      if (construct !== undefined) {
        Validations.of(construct).acknowledge({ id: id.replace('/NAME/', `/${name}/`).replace(':::BUCKET/', `:::${bucket}/`), reason });
      }
    }
  }
}
