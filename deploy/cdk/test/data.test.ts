import { Match } from 'aws-cdk-lib/assertions';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { only, synthesize } from './example';

const standard = synthesize();

test('the source logs what replication needs, and keeps itself', () => {
  standard.hasResourceProperties('AWS::RDS::DBParameterGroup', {
    Family: 'mysql8.4',
    Parameters: {
      binlog_format: 'ROW', binlog_row_image: 'full', binlog_row_metadata: 'full', 'gtid-mode': 'ON', enforce_gtid_consistency: 'ON', require_secure_transport: '1',
    },
  });
  const source = only(standard, 'AWS::RDS::DBInstance');
  assert.deepEqual(source.properties.DBParameterGroupName, { Ref: only(standard, 'AWS::RDS::DBParameterGroup').id });
  assert.equal(source.resource.DeletionPolicy, 'Snapshot');
  standard.hasResourceProperties('AWS::RDS::DBInstance', {
    StorageEncrypted: true, PubliclyAccessible: false, MultiAZ: true, DeletionProtection: true, BackupRetentionPeriod: 7, EnableIAMDatabaseAuthentication: true,
  });
});

test('the stream is encrypted, keeps a week, and outlives the stack', () => {
  const { properties, resource } = only(standard, 'AWS::Kinesis::Stream');
  assert.deepEqual(properties, {
    Name: 'tickets', RetentionPeriodHours: 168, StreamEncryption: { EncryptionType: 'KMS', KeyId: 'alias/aws/kinesis' }, StreamModeDetails: { StreamMode: 'ON_DEMAND' },
  });
  assert.equal(resource.DeletionPolicy, 'RetainExceptOnCreate');
  assert.equal(resource.UpdateReplacePolicy, 'Retain');
  const provisioned = only(synthesize({ stream: { shards: 8, retentionHours: 72 } }), 'AWS::Kinesis::Stream').properties;
  assert.deepEqual([provisioned.ShardCount, provisioned.RetentionPeriodHours, provisioned.StreamModeDetails], [8, 72, { StreamMode: 'PROVISIONED' }]);
});

test('the bucket is private, encrypted, and speaks TLS only', () => {
  const { id, properties, resource } = only(standard, 'AWS::S3::Bucket');
  assert.deepEqual(properties.PublicAccessBlockConfiguration, { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true });
  assert.equal(properties.BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault.SSEAlgorithm, 'AES256');
  assert.equal(resource.DeletionPolicy, 'RetainExceptOnCreate');
  standard.hasResourceProperties('AWS::S3::BucketPolicy', {
    Bucket: { Ref: id },
    PolicyDocument: Match.objectLike({
      Statement: Match.arrayWith([Match.objectLike({ Action: 's3:*', Effect: 'Deny', Principal: { AWS: '*' }, Condition: { Bool: { 'aws:SecureTransport': 'false' } } })]),
    }),
  });
});

test('the table has the key of the Kinesis Client Library and never expires items', () => {
  const { properties, resource } = only(standard, 'AWS::DynamoDB::GlobalTable');
  assert.deepEqual(properties.KeySchema, [{ AttributeName: 'leaseKey', KeyType: 'HASH' }]);
  assert.deepEqual(properties.AttributeDefinitions, [{ AttributeName: 'leaseKey', AttributeType: 'S' }]);
  assert.equal(properties.BillingMode, 'PAY_PER_REQUEST');
  assert.equal(properties.TimeToLiveSpecification, undefined);
  assert.equal(resource.DeletionPolicy, 'RetainExceptOnCreate');
  assert.deepEqual(properties.Replicas, [{ DeletionProtectionEnabled: true, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }, Region: 'eu-west-1' }]);
});

test('the standard stack makes one of each, and both secrets are generated', () => {
  for (const [type, count] of Object.entries({
    'AWS::RDS::DBInstance': 1, 'AWS::Kinesis::Stream': 1, 'AWS::S3::Bucket': 1, 'AWS::DynamoDB::GlobalTable': 1, 'AWS::SecretsManager::Secret': 2, 'AWS::ECS::Service': 2,
  })) {
    standard.resourceCountIs(type, count);
  }
  standard.allResourcesProperties('AWS::SecretsManager::Secret', { GenerateSecretString: Match.objectLike({ GenerateStringKey: 'password' }) });
});

test('what is there already is used and not made', () => {
  const t = synthesize({
    source: { host: 'db.example.com', port: 3307, secretArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:mysql-abcdef', securityGroupId: 'sg-0123456789abcdef0' },
    stream: { existing: 'dms' }, bucket: { existing: 'archive' },
  });
  for (const type of ['AWS::RDS::DBInstance', 'AWS::RDS::DBParameterGroup', 'AWS::Kinesis::Stream', 'AWS::S3::Bucket', 'AWS::SecretsManager::Secret']) {
    t.resourceCountIs(type, 0);
  }
  const replicate = only(t, 'AWS::ECS::TaskDefinition', 'Replicate').properties.ContainerDefinitions[0];
  const env = Object.fromEntries(replicate.Environment.map((e: any) => [e.Name, e.Value]));
  assert.deepEqual([env.SOURCE_HOST, env.SOURCE_PORT, env.STREAM_NAME], ['db.example.com', '3307', 'dms']);
  assert.equal(env.SECRET_ARN, 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:mysql-abcdef');
  t.hasResourceProperties('AWS::EC2::SecurityGroupIngress', { GroupId: 'sg-0123456789abcdef0', FromPort: 3307, ToPort: 3307, IpProtocol: 'tcp' });
  assert.match(JSON.stringify(only(t, 'AWS::IAM::ManagedPolicy', 'DeliverPolicy').properties), /stream\/dms.*:s3:::archive\/\*/);
  assert.equal(Object.keys(t.findOutputs('SetupCommand')).length, 0);
  assert.equal(Object.keys(t.findResources('AWS::CloudWatch::Alarm')).some((id) => /^(SourceStorageLow|DeliverFarBehind)/.test(id)), false);
});
