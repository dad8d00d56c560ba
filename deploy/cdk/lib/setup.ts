import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Aws } from 'aws-cdk-lib';
import { ContainerImage, FargateTaskDefinition, LogDriver, Secret as EcsSecret } from 'aws-cdk-lib/aws-ecs';
import { ManagedPolicy, PolicyDocument, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { trust } from './policies';
import { Settings } from './settings';
import { Source } from './source';

const script = readFileSync(join(__dirname, '..', '..', 'source-setup.sh'), 'utf8');

/**
 * The task that makes the replication user and sets the binlog's retention, which CloudFormation can't: both are SQL.
 * It is run by hand, once (docs/DEPLOYMENT.md). Undefined where the server was there before.
 */
export function makeSetup(scope: Construct, settings: Settings, source: Source, log: ILogGroup): FargateTaskDefinition | undefined {
  if (source.created === undefined) {
    return undefined;
  }
  const { admin, binlogRetentionHours } = source.created;
  const may = (actions: string[], resources: string[]) => new PolicyStatement({ actions, resources });
  const executionRole = new Role(scope, 'SetupExecutionRole', {
    assumedBy: trust({ REGION: Aws.REGION, ACCOUNT: Aws.ACCOUNT_ID }),
    description: 'What ECS does for the setup of the source: log, hand over both passwords',
    managedPolicies: [new ManagedPolicy(scope, 'SetupExecutionPolicy', {
      document: new PolicyDocument({
        statements: [
          may(['logs:CreateLogStream', 'logs:PutLogEvents'], [log.logGroupArn]),
          may(['secretsmanager:GetSecretValue'], [admin.secretArn, source.user.secretArn]),
        ],
      }),
    })],
  }).withoutPolicyUpdates();
  const taskRole = new Role(scope, 'SetupRole', {
    assumedBy: trust({ REGION: Aws.REGION, ACCOUNT: Aws.ACCOUNT_ID }),
    description: 'The setup of the source calls nothing of AWS',
  }).withoutPolicyUpdates();
  const definition = new FargateTaskDefinition(scope, 'Setup', { family: `binlogstreamer-${settings.name}-setup`, taskRole, executionRole });
  definition.addContainer('setup', {
    containerName: 'setup',
    image: ContainerImage.fromRegistry('public.ecr.aws/docker/library/mysql:8.4'),
    entryPoint: ['sh', '-c'],
    command: [script],
    environment: { SOURCE_HOST: source.host, SOURCE_PORT: source.port, BINLOG_RETENTION_HOURS: String(binlogRetentionHours) },
    secrets: {
      ADMIN_USER: EcsSecret.fromSecretsManager(admin, 'username'),
      ADMIN_PASSWORD: EcsSecret.fromSecretsManager(admin, 'password'),
      REPLICATION_USER: EcsSecret.fromSecretsManager(source.user, 'username'),
      REPLICATION_PASSWORD: EcsSecret.fromSecretsManager(source.user, 'password'),
    },
    logging: LogDriver.awsLogs({ logGroup: log, streamPrefix: 'setup' }),
  });
  return definition;
}
