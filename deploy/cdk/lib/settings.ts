import { Node } from 'constructs';

/** What a pipeline's stack is made of. It stands in cdk.json, under context.binlogstreamer. */
export interface Settings {
  readonly account: string;
  readonly region: string;
  /** Of the pipeline: in the names of objects, checkpoints, log groups, the stream and the table. */
  readonly name: string;
  readonly vpcId: string;
  /** Where the tasks and the database stand. Tasks in public subnets get a public address, since they need one to get out. */
  readonly subnets: 'private-with-egress' | 'public';
  /** ECR repository of the image (deploy/ecs/Dockerfile), and its tag. */
  readonly repository: string;
  readonly tag: string;
  readonly arm64: boolean;
  /** False: everything is there, but no task runs. For the first deployment, when the source has no user yet. */
  readonly running: boolean;
  /** 1, or 2 for a standby in another zone that is there already; 0 where something else writes the stream, such as DMS. */
  readonly replicateTasks: number;
  /** They share the shards; 0 where something else reads the stream, such as Firehose. */
  readonly deliverTasks: number;
  readonly logRetentionDays: number;
  /** Gets mail when an alarm goes off or ends. */
  readonly alarmEmail: string | undefined;
  readonly source: NewSource | ExistingSource;
  readonly stream: NewStream | Existing;
  readonly bucket: Record<string, never> | Existing;
}

/** Something that is there already and stays when the stack goes. */
export interface Existing {
  readonly existing: string;
}

export interface NewStream {
  /** 0: on demand. */
  readonly shards: number;
  readonly retentionHours: number;
}

export interface NewSource {
  readonly instanceClass: string;
  readonly allocatedStorageGiB: number;
  readonly multiAz: boolean;
  /** How long the server keeps its binlog: how long replicate may be away. */
  readonly binlogRetentionHours: number;
}

export interface ExistingSource {
  readonly host: string;
  readonly port: number;
  /** A secret with username and password of a user that may replicate. */
  readonly secretArn: string;
  /** Gets a rule that lets replicate in; without it the rule is yours to make. */
  readonly securityGroupId: string | undefined;
}

/** Reads the settings and says everything that is wrong with them at once. */
export function readSettings(node: Node): Settings {
  const given: unknown = node.tryGetContext('binlogstreamer');
  const r = new Reader(given, 'binlogstreamer');
  const settings: Settings = {
    account: r.text('account', /^\d{12}$/, 'the 12 digits of the account'),
    region: r.text('region', /^[a-z]{2}(-[a-z]+)+-\d$/, 'a region, such as eu-west-1'),
    name: r.text('name', /^[a-z][a-z0-9-]{0,30}$/, 'up to 31 lower-case letters, digits and dashes, such as tickets'),
    vpcId: r.text('vpcId', /^vpc-([0-9a-f]{8}|[0-9a-f]{17})$/, 'the id of the VPC, such as vpc-0123456789abcdef0'),
    subnets: r.choice('subnets', ['private-with-egress', 'public'], 'private-with-egress'),
    repository: r.text('repository', /^[a-z0-9][a-z0-9._/-]+$/, 'the name of an ECR repository'),
    tag: r.text('tag', /^(?!latest$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'the tag of an image that never changes, such as 1.0.0 (not latest)'),
    arm64: r.flag('arm64', false),
    running: r.flag('running'),
    replicateTasks: r.count('replicateTasks', 1, 0, 2),
    deliverTasks: r.count('deliverTasks', 2, 0, 100),
    logRetentionDays: r.oneOf('logRetentionDays', [1, 3, 5, 7, 14, 30, 60, 90, 180, 365], 30),
    alarmEmail: r.optionalText('alarmEmail', /^[^@\s]+@[^@\s]+$/, 'a mail address'),
    source: readSource(r.group('source')),
    stream: readStream(r.group('stream')),
    bucket: readBucket(r.group('bucket')),
  };
  r.done();
  return settings;
}

function readSource(r: Reader): NewSource | ExistingSource {
  if (r.has('host')) {
    return {
      host: r.text('host', /^[A-Za-z0-9.-]+$/, 'the name of the MySQL server'),
      port: r.count('port', 3306, 1, 65535),
      secretArn: r.text('secretArn', /^arn:[a-z-]+:secretsmanager:.+$/, 'the full ARN of a secret with username and password'),
      securityGroupId: r.optionalText('securityGroupId', /^sg-([0-9a-f]{8}|[0-9a-f]{17})$/, 'the id of the security group of the server'),
    };
  }
  return {
    instanceClass: r.text('instanceClass', /^(db\.)?[a-z0-9-]+\.[a-z0-9]+$/, 'a class, such as t4g.medium', 't4g.medium').replace(/^db\./, ''),
    allocatedStorageGiB: r.count('allocatedStorageGiB', 100, 20, 65536),
    multiAz: r.flag('multiAz', true),
    binlogRetentionHours: r.count('binlogRetentionHours', 72, 24, 168),
  };
}

function readStream(r: Reader): NewStream | Existing {
  return r.existing(/^[A-Za-z0-9_.-]{1,128}$/, 'the name of a stream') ?? {
    shards: r.count('shards', 0, 0, 10000),
    retentionHours: r.count('retentionHours', 168, 24, 8760),
  };
}

function readBucket(r: Reader): Record<string, never> | Existing {
  return r.existing(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket') ?? {};
}

/** Takes values out of one group of settings, remembers what is wrong, and which keys nobody asked for. */
class Reader {
  private readonly values: Record<string, unknown>;
  private readonly asked = new Set<string>();
  private readonly groups: Reader[] = [];

  constructor(given: unknown, private readonly path: string, private readonly faults: string[] = []) {
    const usable = typeof given === 'object' && given !== null && !Array.isArray(given);
    if (!usable) {
      this.faults.push(`${path} is not a group of keys: see cdk.json and docs/DEPLOYMENT.md`);
    }
    this.values = usable ? (given as Record<string, unknown>) : {};
  }

  has(key: string): boolean {
    return this.take(key) !== undefined;
  }

  group(key: string): Reader {
    const r = new Reader(this.take(key) ?? {}, `${this.path}.${key}`, this.faults);
    this.groups.push(r);
    return r;
  }

  existing(form: RegExp, wanted: string): Existing | undefined {
    return this.has('existing') ? { existing: this.text('existing', form, wanted) } : undefined;
  }

  text(key: string, form: RegExp, wanted: string, otherwise?: string): string {
    return this.value(key, wanted, otherwise, (v): v is string => typeof v === 'string' && form.test(v)) ?? '';
  }

  optionalText(key: string, form: RegExp, wanted: string): string | undefined {
    return this.has(key) ? this.text(key, form, wanted) : undefined;
  }

  choice<T extends string>(key: string, known: readonly T[], otherwise: T): T {
    return this.value(key, known.join(' or '), otherwise, (v): v is T => known.includes(v as T)) ?? otherwise;
  }

  oneOf(key: string, known: readonly number[], otherwise: number): number {
    return this.value(key, `one of ${known.join(', ')}`, otherwise, (v): v is number => known.includes(v as number)) ?? otherwise;
  }

  count(key: string, otherwise: number, low: number, high: number): number {
    const fits = (v: unknown): v is number => Number.isInteger(v) && (v as number) >= low && (v as number) <= high;
    return this.value(key, `a whole number from ${low} to ${high}`, otherwise, fits) ?? otherwise;
  }

  flag(key: string, otherwise?: boolean): boolean {
    return this.value(key, 'true or false', otherwise, (v): v is boolean => typeof v === 'boolean') ?? false;
  }

  /** Ends the reading: throws if anything was wrong, here or in the groups. */
  done(): void {
    for (const r of [this, ...this.groups]) {
      for (const key of Object.keys(r.values).filter((k) => !r.asked.has(k))) {
        this.faults.push(`${r.path}.${key} is not a known setting, or has no effect beside the others; known here: ${[...r.asked].join(', ')}`);
      }
    }
    if (this.faults.length > 0) {
      throw new Error(`the settings in cdk.json can't be used:\n  ${this.faults.join('\n  ')}`);
    }
  }

  private take(key: string): unknown {
    this.asked.add(key);
    return this.values[key];
  }

  private value<T>(key: string, wanted: string, otherwise: T | undefined, fits: (v: unknown) => v is T): T | undefined {
    const v = this.take(key) ?? otherwise;
    if (fits(v)) {
      return v;
    }
    this.faults.push(v === undefined ? `${this.path}.${key} is missing: write ${wanted}` : `${this.path}.${key} is ${JSON.stringify(v)}: write ${wanted}`);
    return undefined;
  }
}
