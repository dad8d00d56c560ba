import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsWith } from './example';

test('what is left out has a default', () => {
  const s = settingsWith();
  assert.deepEqual(s.stream, { shards: 0, retentionHours: 168 });
  assert.deepEqual(s.source, { instanceClass: 't4g.medium', allocatedStorageGiB: 100, multiAz: true, binlogRetentionHours: 72 });
  assert.deepEqual([s.subnets, s.replicateTasks, s.deliverTasks, s.logRetentionDays, s.arm64, s.alarmEmail], ['private-with-egress', 1, 2, 30, false, undefined]);
});

test('every fault is told at once, with the key, what it is, and what to write', () => {
  assert.throws(
    () => settingsWith({ account: 111122223333, tag: 'latest', replicateTasks: 3, running: undefined, nmae: 'x', source: { host: 'db', multiAz: true }, stream: 5 }),
    (e: Error) => {
      for (const part of [
        'binlogstreamer.account is 111122223333: write the 12 digits',
        'binlogstreamer.tag is "latest": write the tag of an image that never changes',
        'binlogstreamer.replicateTasks is 3: write a whole number from 0 to 2',
        'binlogstreamer.running is missing: write true or false',
        'binlogstreamer.nmae is not a known setting',
        'binlogstreamer.source.secretArn is missing: write the full ARN',
        'binlogstreamer.source.multiAz is not a known setting, or has no effect beside the others; known here: host, port, secretArn, securityGroupId',
        'binlogstreamer.stream is not a group of keys',
      ]) {
        assert.ok(e.message.includes(part), `${part}\nis not in\n${e.message}`);
      }
      return true;
    },
  );
});

test('a stream or bucket that is there already has no other settings', () => {
  assert.deepEqual(settingsWith({ stream: { existing: 'dms' }, bucket: { existing: 'archive' } }).stream, { existing: 'dms' });
  assert.throws(() => settingsWith({ stream: { existing: 'dms', shards: 4 } }), /stream.shards is not a known setting, or has no effect beside the others; known here: existing/);
  assert.throws(() => settingsWith({ bucket: { existing: 'Not_A_Bucket' } }), /bucket.existing is "Not_A_Bucket": write the name of a bucket/);
});
