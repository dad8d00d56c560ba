import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, IMetric, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Operation, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { IStream } from 'aws-cdk-lib/aws-kinesis';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { Services } from './services';
import { Settings } from './settings';
import { Source } from './source';
import { Tasks } from './tasks';

export interface Watched {
  readonly settings: Settings;
  readonly source: Source;
  readonly stream: IStream;
  readonly table: TableV2;
  readonly tasks: Tasks;
  readonly services: Services;
}

const minute = Duration.minutes(1);
const fiveMinutes = Duration.minutes(5);

/** The alarms, by what the platform measures without extra cost. docs/DEPLOYMENT.md says what to do about each. */
export function makeAlarms(scope: Construct, w: Watched): Topic {
  const topic = new Topic(scope, 'AlarmTopic', { enforceSSL: true, displayName: `binlogstreamer ${w.settings.name}` });
  if (w.settings.alarmEmail !== undefined) {
    topic.addSubscription(new EmailSubscription(w.settings.alarmEmail));
  }
  const { running, replicateTasks, deliverTasks } = w.settings;
  const maker = new Maker(scope, topic, w.settings.name, running);
  for (const half of ['replicate', 'deliver'] as const) {
    watchService(scope, maker.while((half === 'replicate' ? replicateTasks : deliverTasks) > 0), w, half);
  }
  watchStream(maker, maker.while(deliverTasks > 0), w);
  maker.above('CheckpointsThrottled', 'DynamoDB throttles the checkpoints and leases: a half that cannot save stands by',
    w.table.metricThrottledRequestsForOperations({ operations: [Operation.GET_ITEM, Operation.PUT_ITEM, Operation.UPDATE_ITEM, Operation.DELETE_ITEM, Operation.SCAN], period: minute }), 0, 5);
  if (w.source.created !== undefined) {
    const { instance, storageGiB } = w.source.created;
    maker.below('SourceStorageLow', 'The source has less than a fifth of its storage left; binlogs that are kept for replicate are part of it',
      instance.metricFreeStorageSpace({ statistic: Stats.MINIMUM, period: fiveMinutes }), storageGiB * 2 ** 30 / 5, 3, TreatMissingData.MISSING);
  }
  return topic;
}

function watchService(scope: Construct, maker: Maker, w: Watched, half: 'replicate' | 'deliver'): void {
  const Half = half === 'replicate' ? 'Replicate' : 'Deliver';
  // Every running task reports its CPU once a minute: where no report is, no task is.
  maker.below(`${Half}NotRunning`, `No task of ${half} has run for five minutes`,
    w.services[half].metricCpuUtilization({ statistic: Stats.SAMPLE_COUNT, period: minute }), 1, 5, TreatMissingData.BREACHING);
  const metricName = `${half}-errors`;
  const metricNamespace = `binlogstreamer/${w.settings.name}`;
  // What the log calls an error, and the last line of a process that failed, which is plain text.
  const patterns = { Error: FilterPattern.stringValue('$.level', '=', 'ERROR'), Failure: FilterPattern.literal('%^binlogstreamer: %') };
  for (const [what, filterPattern] of Object.entries(patterns)) {
    new MetricFilter(scope, `${Half}${what}Filter`, { logGroup: w.tasks[half].logGroup, filterPattern, metricNamespace, metricName, metricValue: '1' });
  }
  maker.above(`${Half}Errors`, `${half} logged an error, or ended with one; its log group says what and what to do`,
    new Metric({ namespace: metricNamespace, metricName, statistic: Stats.SUM, period: fiveMinutes }), 0, 1);
}

function watchStream(maker: Maker, reading: Maker, w: Watched): void {
  const { stream, settings } = w;
  const age = stream.metricGetRecordsIteratorAgeMilliseconds({ statistic: Stats.MAXIMUM, period: fiveMinutes });
  // Deliver asks every open shard all the time, whether there is anything or not: no answer is as bad as a late one.
  reading.above('DeliverBehind', 'What deliver reads now has been in the stream for more than fifteen minutes',
    age, Duration.minutes(15).toMilliseconds(), 3, TreatMissingData.BREACHING);
  if ('retentionHours' in settings.stream) {
    reading.above('DeliverFarBehind', 'Half of the stream\'s retention is used up: records that expire before they are delivered are lost',
      age, Duration.hours(settings.stream.retentionHours / 2).toMilliseconds(), 1);
  }
  maker.above('StreamWriteThrottled', 'The stream takes less than replicate has: more shards are needed, or keys are uneven',
    stream.metricWriteProvisionedThroughputExceeded({ statistic: Stats.SUM, period: minute }), 0, 15);
  maker.above('StreamReadThrottled', 'The stream gives less than its readers ask for: is another reader there, or too few shards?',
    stream.metricReadProvisionedThroughputExceeded({ statistic: Stats.SUM, period: minute }), 0, 15);
}

/** Makes alarms that are silent while what they watch is not meant to run. */
class Maker {
  constructor(private readonly scope: Construct, private readonly topic: Topic, private readonly pipeline: string, private readonly running: boolean) {}

  /** A maker of alarms that are silent also unless a condition holds. */
  while(condition: boolean): Maker {
    return new Maker(this.scope, this.topic, this.pipeline, this.running && condition);
  }

  above(id: string, says: string, metric: IMetric, threshold: number, periods: number, missing = TreatMissingData.NOT_BREACHING): void {
    this.make(id, says, metric, threshold, periods, missing, ComparisonOperator.GREATER_THAN_THRESHOLD);
  }

  below(id: string, says: string, metric: IMetric, threshold: number, periods: number, missing: TreatMissingData): void {
    this.make(id, says, metric, threshold, periods, missing, ComparisonOperator.LESS_THAN_THRESHOLD);
  }

  private make(id: string, says: string, metric: IMetric, threshold: number, periods: number, treatMissingData: TreatMissingData, comparisonOperator: ComparisonOperator): void {
    const alarm = new Alarm(this.scope, id, {
      alarmName: `binlogstreamer-${this.pipeline}-${id}`,
      alarmDescription: says,
      metric,
      threshold,
      evaluationPeriods: periods,
      comparisonOperator,
      treatMissingData,
      actionsEnabled: this.running,
    });
    alarm.addAlarmAction(new SnsAction(this.topic));
    alarm.addOkAction(new SnsAction(this.topic));
  }
}
