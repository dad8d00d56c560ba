import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { AttributeType, Billing, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { IStream, Stream, StreamEncryption, StreamMode } from 'aws-cdk-lib/aws-kinesis';
import { BlockPublicAccess, Bucket, BucketEncryption, IBucket } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { Settings } from './settings';

// What holds data outlives the stack, unless the stack's very creation fails.
const removalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;

/** The stream between the halves. */
export function makeStream(scope: Construct, settings: Settings): IStream {
  const s = settings.stream;
  if ('existing' in s) {
    return Stream.fromStreamAttributes(scope, 'Stream', {
      streamArn: `arn:aws:kinesis:${settings.region}:${settings.account}:stream/${s.existing}`,
    });
  }
  return new Stream(scope, 'Stream', {
    streamName: settings.name,
    ...(s.shards === 0 ? { streamMode: StreamMode.ON_DEMAND } : { streamMode: StreamMode.PROVISIONED, shardCount: s.shards }),
    retentionPeriod: Duration.hours(s.retentionHours),
    encryption: StreamEncryption.MANAGED,
    removalPolicy,
  });
}

/** The bucket that objects go to. */
export function makeBucket(scope: Construct, settings: Settings): IBucket {
  if ('existing' in settings.bucket) {
    return Bucket.fromBucketName(scope, 'Bucket', String(settings.bucket.existing));
  }
  return new Bucket(scope, 'Bucket', {
    encryption: BucketEncryption.S3_MANAGED,
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    removalPolicy,
  });
}

/**
 * The table of checkpoints and leases, as the Kinesis Client Library lays it out. Its items must never expire, so it has
 * no time to live.
 */
export function makeTable(scope: Construct): TableV2 {
  return new TableV2(scope, 'Checkpoints', {
    partitionKey: { name: 'leaseKey', type: AttributeType.STRING },
    billing: Billing.onDemand(),
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: true,
    removalPolicy,
  });
}
