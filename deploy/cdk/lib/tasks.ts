import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Aws, Duration, RemovalPolicy, Size } from 'aws-cdk-lib';
import { IStream } from 'aws-cdk-lib/aws-kinesis';
import { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { Repository } from 'aws-cdk-lib/aws-ecr';
import {
  AwsLogDriverMode, Capability, ContainerImage, CpuArchitecture, FargateTaskDefinition, LinuxParameters, LogDriver,
  OperatingSystemFamily,
} from 'aws-cdk-lib/aws-ecs';
import { ManagedPolicy, Role } from 'aws-cdk-lib/aws-iam';
import { ILogGroup, LogGroup } from 'aws-cdk-lib/aws-logs';
import { IBucket } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { policy, trust } from './policies';
import { Settings } from './settings';
import { Source } from './source';

export interface Parts {
  readonly settings: Settings;
  readonly source: Source;
  readonly stream: IStream;
  readonly bucket: IBucket;
  readonly table: ITable;
}

/** A task: one half, or the one-time check of both. */
export interface Task {
  readonly definition: FargateTaskDefinition;
  readonly logGroup: ILogGroup;
}

export interface Tasks {
  readonly replicate: Task;
  readonly deliver: Task;
  readonly check: Task;
}

const folder = join(__dirname, '..', '..');
const pipeline = readFileSync(join(folder, 'pipeline.yaml'), 'utf8');
const tableMappings = readFileSync(join(folder, 'table-mappings.json'), 'utf8');

/** The task definitions, each with a role of its own that may do what its half does and nothing else. */
export function makeTasks(scope: Construct, parts: Parts): Tasks {
  const { settings, stream, bucket, table, source } = parts;
  checkSize(pipeline, tableMappings);
  const words = {
    REGION: Aws.REGION, ACCOUNT: Aws.ACCOUNT_ID, NAME: settings.name, REPOSITORY: settings.repository,
    STREAM: stream.streamName, TABLE: table.tableName, BUCKET: bucket.bucketName, SECRET_ARN: source.user.secretArn,
  };
  const managed = (id: string, file: string) => new ManagedPolicy(scope, id, { document: policy(file, words) });
  const role = (id: string, description: string, ...managedPolicies: ManagedPolicy[]) =>
    new Role(scope, id, { assumedBy: trust(words), description, managedPolicies }).withoutPolicyUpdates();

  const execution = role('ExecutionRole', 'What ECS does for binlogstreamer: pull and log', managed('ExecutionPolicy', 'policy-execution.json'));
  const replicates = managed('ReplicatePolicy', 'policy-replicate.json');
  const delivers = managed('DeliverPolicy', 'policy-deliver.json');
  const tools = logGroup(scope, settings, 'Tools', 'tools');

  const common = { PIPELINE: pipeline, PIPELINE_NAME: settings.name, AWS_REGION: Aws.REGION, STREAM_NAME: stream.streamName, CHECKPOINT_TABLE: table.tableName };
  const reading = { TABLE_MAPPINGS: tableMappings, SOURCE_HOST: source.host, SOURCE_PORT: source.port, SECRET_ARN: source.user.secretArn };
  const storing = { BUCKET_NAME: bucket.bucketName };

  const task = (id: string, command: string, log: ILogGroup, taskRole: ReturnType<typeof role>, environment: Record<string, string>, daemon: boolean): Task => {
    const definition = new FargateTaskDefinition(scope, id, {
      family: `binlogstreamer-${settings.name}-${command}`,
      cpu: 1024,
      memoryLimitMiB: 2048, // pipeline.yaml's memory_limit is a quarter of it
      runtimePlatform: { operatingSystemFamily: OperatingSystemFamily.LINUX, cpuArchitecture: settings.arm64 ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64 },
      taskRole,
      executionRole: execution,
    });
    const linuxParameters = new LinuxParameters(definition, 'Linux');
    linuxParameters.dropCapabilities(Capability.ALL);
    definition.addContainer(command, {
      containerName: command,
      image: ContainerImage.fromEcrRepository(Repository.fromRepositoryName(definition, 'Repository', settings.repository), settings.tag),
      command: [command, '-c', 'env:PIPELINE'],
      environment,
      user: '65532:65532',
      readonlyRootFilesystem: true,
      linuxParameters,
      ...(daemon && {
        healthCheck: {
          command: ['CMD', '/binlogstreamer', 'healthcheck', '-c', 'env:PIPELINE'],
          interval: Duration.seconds(15), timeout: Duration.seconds(5), retries: 3, startPeriod: Duration.seconds(60),
        },
        stopTimeout: Duration.seconds(120), // the longest that Fargate has; pipeline.yaml's shutdown_grace is shorter
      }),
      // A log that can't be delivered must not stop the data.
      logging: LogDriver.awsLogs({ logGroup: log, streamPrefix: command, mode: AwsLogDriverMode.NON_BLOCKING, maxBufferSize: Size.mebibytes(10) }),
    });
    return { definition, logGroup: log };
  };

  return {
    replicate: task('Replicate', 'replicate', logGroup(scope, settings, 'ReplicateLog', 'replicate'),
      role('ReplicateRole', 'binlogstreamer replicate', replicates), { ...common, ...reading }, true),
    deliver: task('Deliver', 'deliver', logGroup(scope, settings, 'DeliverLog', 'deliver'),
      role('DeliverRole', 'binlogstreamer deliver', delivers), { ...common, ...storing }, true),
    check: task('Check', 'check', tools,
      role('CheckRole', 'binlogstreamer check, which looks at both halves', replicates, delivers), { ...common, ...reading, ...storing }, false),
  };
}

function logGroup(scope: Construct, settings: Settings, id: string, name: string): LogGroup {
  return new LogGroup(scope, id, {
    logGroupName: `/binlogstreamer/${settings.name}/${name}`, // policy-execution.json has these names
    retention: settings.logRetentionDays,
    removalPolicy: RemovalPolicy.DESTROY,
  });
}

/** A task definition has 64 KiB at most, and the texts are its largest part by far. JSON takes two bytes for a quote. */
export function checkSize(...texts: string[]): void {
  const limit = 56 << 10;
  const size = texts.reduce((n, text) => n + Buffer.byteLength(JSON.stringify(text)), 0);
  if (size > limit) {
    throw new Error(`pipeline.yaml and table-mappings.json have ${size} bytes together, and a task definition has room for ${limit}: `
      + 'use % in the rules in place of many table names, or put the files into the image (docs/why/configuration-in-the-task-definition.md)');
  }
}
