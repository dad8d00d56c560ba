import assert from 'node:assert/strict';
import { test } from 'node:test';
import { only, synthesize } from './example';

const standard = synthesize({ running: true, alarmEmail: 'oncall@example.com' });
const alarms = Object.values(standard.findResources('AWS::CloudWatch::Alarm')).map((a) => a['Properties']);
const alarm = (name: string) => alarms.find((a) => a.AlarmName === `binlogstreamer-tickets-${name}`);

test('there is an alarm for each thing that can go wrong', () => {
  assert.deepEqual(alarms.map((a) => a.AlarmName.replace('binlogstreamer-tickets-', '')).sort(), [
    'CheckpointsThrottled', 'DeliverBehind', 'DeliverErrors', 'DeliverFarBehind', 'DeliverNotRunning', 'ReplicateErrors', 'ReplicateNotRunning',
    'SourceStorageLow', 'StreamReadThrottled', 'StreamWriteThrottled',
  ]);
  const topic = [{ Ref: only(standard, 'AWS::SNS::Topic').id }];
  for (const a of alarms) {
    assert.deepEqual([a.AlarmActions, a.OKActions, a.ActionsEnabled], [topic, topic, true], a.AlarmName);
  }
  standard.hasResourceProperties('AWS::SNS::Subscription', { Protocol: 'email', Endpoint: 'oncall@example.com' });
});

test('a service without tasks is missed', () => {
  for (const half of ['Replicate', 'Deliver']) {
    const a = alarm(`${half}NotRunning`);
    assert.deepEqual([a.MetricName, a.Namespace, a.Statistic, a.Period], ['CPUUtilization', 'AWS/ECS', 'SampleCount', 60]);
    assert.deepEqual([a.Threshold, a.ComparisonOperator, a.TreatMissingData, a.EvaluationPeriods], [1, 'LessThanThreshold', 'breaching', 5]);
    const service = a.Dimensions.find((d: any) => d.Name === 'ServiceName');
    assert.deepEqual(service.Value['Fn::GetAtt'], [only(standard, 'AWS::ECS::Service', `${half}Service`).id, 'Name']);
  }
});

test('a reader that is late, or is not there, is missed', () => {
  const { MetricName, Threshold, TreatMissingData, Statistic } = alarm('DeliverBehind');
  assert.deepEqual([MetricName, Threshold, TreatMissingData, Statistic], ['GetRecords.IteratorAgeMilliseconds', 900_000, 'breaching', 'Maximum']);
  assert.equal(alarm('DeliverFarBehind').Threshold, 84 * 3_600_000); // half of 168 hours
  assert.equal(alarm('StreamWriteThrottled').MetricName, 'WriteProvisionedThroughputExceeded');
  assert.equal(alarm('StreamReadThrottled').MetricName, 'ReadProvisionedThroughputExceeded');
  assert.equal(alarm('SourceStorageLow').Threshold, 20 * 2 ** 30);
});

test('errors in the logs are counted, in both forms', () => {
  const filters = Object.values(standard.findResources('AWS::Logs::MetricFilter')).map((f) => [
    f['Properties'].LogGroupName.Ref, f['Properties'].FilterPattern, f['Properties'].MetricTransformations[0].MetricName,
  ]);
  const log = (half: string) => only(standard, 'AWS::Logs::LogGroup', `${half}Log`).id;
  assert.deepEqual(filters.sort(), [
    [log('Deliver'), '%^binlogstreamer: %', 'deliver-errors'], [log('Deliver'), '{ $.level = "ERROR" }', 'deliver-errors'],
    [log('Replicate'), '%^binlogstreamer: %', 'replicate-errors'], [log('Replicate'), '{ $.level = "ERROR" }', 'replicate-errors'],
  ].sort());
  for (const half of ['replicate', 'deliver']) {
    const a = alarm(`${half[0]!.toUpperCase()}${half.slice(1)}Errors`);
    assert.deepEqual([a.Namespace, a.MetricName, a.Threshold, a.TreatMissingData], ['binlogstreamer/tickets', `${half}-errors`, 0, 'notBreaching']);
  }
});

test('alarms are silent while the pipeline is not meant to run', () => {
  const silent = Object.values(synthesize({ running: false }).findResources('AWS::CloudWatch::Alarm'));
  assert.equal(silent.length, 10);
  assert.ok(silent.every((a) => a['Properties'].ActionsEnabled === false));
});

test('a half that something else stands in for is not missed', () => {
  const loud = (changes: Record<string, unknown>) => Object.values(synthesize({ running: true, ...changes }).findResources('AWS::CloudWatch::Alarm'))
    .filter((a) => a['Properties'].ActionsEnabled).map((a) => a['Properties'].AlarmName.replace('binlogstreamer-tickets-', '')).sort();
  const always = ['CheckpointsThrottled', 'SourceStorageLow', 'StreamReadThrottled', 'StreamWriteThrottled'];
  assert.deepEqual(loud({ replicateTasks: 0 }), [...always, 'DeliverBehind', 'DeliverErrors', 'DeliverFarBehind', 'DeliverNotRunning'].sort());
  assert.deepEqual(loud({ deliverTasks: 0 }), [...always, 'ReplicateErrors', 'ReplicateNotRunning'].sort());
});
