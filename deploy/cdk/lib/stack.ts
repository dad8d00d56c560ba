import { CfnElement, CfnOutput, Stack } from 'aws-cdk-lib';
import { Vpc } from 'aws-cdk-lib/aws-ec2';
import { FargateTaskDefinition } from 'aws-cdk-lib/aws-ecs';
import { IBucket } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import { makeAlarms } from './alarms';
import { makeServices, Services } from './services';
import { Settings } from './settings';
import { makeSetup } from './setup';
import { makeSource, subnetType } from './source';
import { makeBucket, makeStream, makeTable } from './storage';
import { makeTasks } from './tasks';

/** MySQL → binlogstreamer replicate → Kinesis → binlogstreamer deliver → S3, where DMS and Firehose were. */
export class BinlogstreamerStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id, {
      env: { account: settings.account, region: settings.region },
      description: `binlogstreamer ${settings.name}: MySQL to Kinesis to S3`,
      terminationProtection: true,
    });
    const vpc = Vpc.fromLookup(this, 'Vpc', { vpcId: settings.vpcId });
    const source = makeSource(this, settings, vpc);
    const stream = makeStream(this, settings);
    const bucket = makeBucket(this, settings);
    const table = makeTable(this);
    const tasks = makeTasks(this, { settings, source, stream, bucket, table });
    const setup = makeSetup(this, settings, source, tasks.check.logGroup);
    const services = makeServices(this, settings, vpc, source, tasks);
    const topic = makeAlarms(this, { settings, source, stream, table, tasks, services });

    const subnets = vpc.selectSubnets({ subnetType: subnetType(settings) }).subnetIds;
    const runOnce = (definition: FargateTaskDefinition) => once(settings, services, subnets, definition);
    new CfnOutput(this, 'StreamName', { value: stream.streamName });
    new CfnOutput(this, 'BucketName', { value: bucket.bucketName });
    new CfnOutput(this, 'CheckpointTable', { value: table.tableName });
    new CfnOutput(this, 'AlarmTopicArn', { value: topic.topicArn });
    new CfnOutput(this, 'CheckCommand', { description: 'Looks at everything a run needs', value: runOnce(tasks.check.definition) });
    if (setup !== undefined) {
      new CfnOutput(this, 'SetupCommand', { description: 'Makes the replication user; run it once', value: runOnce(setup) });
    }
    acknowledge(this, settings.name, bucketInFindings(this, bucket));
  }
}

/** How findings name the bucket. */
function bucketInFindings(stack: Stack, bucket: IBucket): string {
  const made = bucket.node.defaultChild;
  return made instanceof CfnElement ? `<${stack.getLogicalId(made)}>` : bucket.bucketName;
}

/** The command that runs a task once. */
function once(settings: Settings, services: Services, subnets: string[], definition: FargateTaskDefinition): string {
  const network = `awsvpcConfiguration={subnets=[${subnets.join(',')}],securityGroups=[${services.nearSource.securityGroupId}],`
    + `assignPublicIp=${settings.subnets === 'public' ? 'ENABLED' : 'DISABLED'}}`;
  return `aws ecs run-task --region ${settings.region} --cluster ${services.cluster.clusterName} --launch-type FARGATE `
    + `--task-definition ${definition.family} --network-configuration '${network}'`;
}
