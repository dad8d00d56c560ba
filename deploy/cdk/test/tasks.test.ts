import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSize } from '../lib/tasks';
import { only, synthesize } from './example';

const standard = synthesize();
const running = synthesize({ running: true, deliverTasks: 3, replicateTasks: 2 });
const halves = ['Replicate', 'Deliver'] as const;

const container = (half: string, t = standard) => only(t, 'AWS::ECS::TaskDefinition', half).properties.ContainerDefinitions[0];

test('services deploy without a gap, and go back by themselves', () => {
  for (const half of halves) {
    const { properties } = only(standard, 'AWS::ECS::Service', `${half}Service`);
    const d = properties.DeploymentConfiguration;
    assert.deepEqual([d.MinimumHealthyPercent, d.MaximumPercent, d.DeploymentCircuitBreaker], [100, 200, { Enable: true, Rollback: true }]);
    assert.equal(properties.LaunchType, 'FARGATE');
    assert.equal(properties.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp, 'DISABLED');
    assert.deepEqual(properties.NetworkConfiguration.AwsvpcConfiguration.Subnets, ['subnet-0000000000000001a', 'subnet-0000000000000001b']);
    assert.deepEqual(properties.TaskDefinition, { Ref: only(standard, 'AWS::ECS::TaskDefinition', half).id });
  }
});

test('nothing runs until it is told to', () => {
  const desired = (t: typeof standard) => halves.map((half) => only(t, 'AWS::ECS::Service', `${half}Service`).properties.DesiredCount);
  assert.deepEqual(desired(standard), [0, 0]);
  assert.deepEqual(desired(running), [2, 3]);
  assert.deepEqual(desired(synthesize({ running: true })), [1, 2]);
  assert.deepEqual(desired(synthesize({ running: true, replicateTasks: 0 })), [0, 2]);
});

test('tasks in public subnets have an address to go out from', () => {
  const net = only(synthesize({ subnets: 'public' }), 'AWS::ECS::Service', 'DeliverService').properties.NetworkConfiguration.AwsvpcConfiguration;
  assert.equal(net.AssignPublicIp, 'ENABLED');
  assert.deepEqual(net.Subnets, ['subnet-0000000000000000a', 'subnet-0000000000000000b']);
});

test('containers can write nowhere, are nobody, and ask themselves whether they live', () => {
  for (const half of [...halves, 'Check']) {
    const c = container(half);
    assert.deepEqual([c.User, c.ReadonlyRootFilesystem, c.LinuxParameters.Capabilities.Drop], ['65532:65532', true, ['ALL']], half);
    assert.deepEqual(c.Command, [half.toLowerCase(), '-c', 'env:PIPELINE']);
    assert.equal(c.LogConfiguration.LogDriver, 'awslogs');
    assert.equal(c.LogConfiguration.Options.mode, 'non-blocking');
  }
  for (const half of halves) {
    assert.deepEqual(container(half).HealthCheck.Command, ['CMD', '/binlogstreamer', 'healthcheck', '-c', 'env:PIPELINE']);
    assert.equal(container(half).StopTimeout, 120);
  }
});

test('the image is one of the account\'s own, by a tag', () => {
  assert.deepEqual(container('Replicate').Image['Fn::Join'][1].filter((s: unknown) => typeof s === 'string'), ['111122223333.dkr.ecr.eu-west-1.', '/binlogstreamer:1.0.0']);
  const arch = (t: typeof standard) => only(t, 'AWS::ECS::TaskDefinition', 'Deliver').properties.RuntimePlatform.CpuArchitecture;
  assert.deepEqual([arch(standard), arch(synthesize({ arm64: true }))], ['X86_64', 'ARM64']);
});

test('passwords are read from their secrets and stand nowhere in clear', () => {
  const secrets = (half: string) => (container(half).Secrets ?? []).map((s: any) => s.Name);
  assert.deepEqual(['Replicate', 'Deliver', 'Check', 'Setup'].map(secrets), [
    [], [], [], ['ADMIN_USER', 'ADMIN_PASSWORD', 'REPLICATION_USER', 'REPLICATION_PASSWORD'],
  ]);
  const secretOf = (half: string) => container(half).Environment.find((e: any) => e.Name === 'SECRET_ARN')?.Value;
  const user = only(standard, 'AWS::SecretsManager::SecretTargetAttachment', 'ReplicationUserAttachment').id;
  assert.deepEqual(['Replicate', 'Deliver', 'Check'].map(secretOf), [{ Ref: user }, undefined, { Ref: user }]);
  for (const [id, resource] of Object.entries(standard.toJSON().Resources as Record<string, any>)) {
    if (resource.Type !== 'AWS::RDS::DBInstance') {
      assert.doesNotMatch(JSON.stringify(resource), /\{\{resolve:/, id);
    }
  }
});

test('each half may do what its policy says, and has no other', () => {
  const policies = (role: string) => only(standard, 'AWS::IAM::Role', role).properties.ManagedPolicyArns?.map((p: any) => p.Ref) ?? [];
  const id = (policy: string) => only(standard, 'AWS::IAM::ManagedPolicy', policy).id;
  assert.deepEqual(policies('ReplicateRole'), [id('ReplicatePolicy')]);
  assert.deepEqual(policies('DeliverRole'), [id('DeliverPolicy')]);
  assert.deepEqual(policies('CheckRole'), [id('ReplicatePolicy'), id('DeliverPolicy')]);
  assert.deepEqual(policies('ExecutionRole'), [id('ExecutionPolicy')]);
  assert.deepEqual(policies('SetupExecutionRole'), [id('SetupExecutionPolicy')]);
  assert.deepEqual(policies('SetupRole'), []);
  standard.resourceCountIs('AWS::IAM::Policy', 0); // none that the library added
  for (const half of halves) {
    const { properties } = only(standard, 'AWS::ECS::TaskDefinition', half);
    assert.deepEqual(properties.TaskRoleArn, { 'Fn::GetAtt': [only(standard, 'AWS::IAM::Role', `${half}Role`).id, 'Arn'] });
    assert.deepEqual(properties.ExecutionRoleArn, { 'Fn::GetAtt': [only(standard, 'AWS::IAM::Role', 'ExecutionRole').id, 'Arn'] });
  }
});

test('only this account\'s tasks take up the roles', () => {
  for (const [id, role] of Object.entries(standard.findResources('AWS::IAM::Role'))) {
    const statements = role['Properties'].AssumeRolePolicyDocument.Statement;
    assert.equal(statements.length, 1, id);
    assert.deepEqual(statements[0].Principal, { Service: 'ecs-tasks.amazonaws.com' }, id);
    assert.deepEqual(statements[0].Condition.StringEquals, { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } }, id);
  }
});

test('nobody connects to a task, and a task only to AWS and to the source', () => {
  for (const group of ['ReplicateSecurityGroup', 'DeliverSecurityGroup']) {
    const { id, properties } = only(standard, 'AWS::EC2::SecurityGroup', group);
    assert.equal(properties.SecurityGroupIngress, undefined);
    assert.deepEqual(properties.SecurityGroupEgress.map((r: any) => [r.IpProtocol, r.FromPort, r.ToPort]), [['tcp', 443, 443]]);
    const into = Object.values(standard.findResources('AWS::EC2::SecurityGroupIngress')).filter((r) => r['Properties'].GroupId['Fn::GetAtt'][0] === id);
    assert.deepEqual(into, []);
  }
  const out = Object.values(standard.findResources('AWS::EC2::SecurityGroupEgress'));
  assert.equal(out.length, 1);
  assert.equal(out[0]!['Properties'].GroupId['Fn::GetAtt'][0], only(standard, 'AWS::EC2::SecurityGroup', 'ReplicateSecurityGroup').id);
});

test('log groups have the names that the policy has, and an end', () => {
  const groups = Object.values(standard.findResources('AWS::Logs::LogGroup')).map((g) => [g['Properties'].LogGroupName, g['Properties'].RetentionInDays]);
  assert.deepEqual(groups.sort(), [['/binlogstreamer/tickets/deliver', 30], ['/binlogstreamer/tickets/replicate', 30], ['/binlogstreamer/tickets/tools', 30]]);
});

test('a configuration that is too large for a task definition is refused with its size', () => {
  checkSize('x'.repeat(57_000));
  assert.throws(() => checkSize('"'.repeat(30_000)), /have 60002 bytes together, and a task definition has room for 57344/);
});
