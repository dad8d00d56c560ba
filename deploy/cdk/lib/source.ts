import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { InstanceType, IVpc, Peer, Port, SecurityGroup, SubnetType } from 'aws-cdk-lib/aws-ec2';
import {
  Credentials, DatabaseInstance, DatabaseInstanceEngine, DatabaseSecret, MysqlEngineVersion, ParameterGroup, StorageType,
} from 'aws-cdk-lib/aws-rds';
import { ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { ExistingSource, NewSource, Settings } from './settings';

/** The MySQL server to read from. */
export interface Source {
  readonly host: string;
  readonly port: string;
  /** username and password of the user that replicates */
  readonly user: ISecret;
  /** Undefined where the server was there before. */
  readonly created: { readonly instance: DatabaseInstance; readonly admin: ISecret; readonly storageGiB: number; readonly binlogRetentionHours: number } | undefined;
  /** Lets the tasks of a security group in, and out to it. */
  admit(client: SecurityGroup): void;
}

export const subnetType = (settings: Settings): SubnetType =>
  settings.subnets === 'public' ? SubnetType.PUBLIC : SubnetType.PRIVATE_WITH_EGRESS;

export function makeSource(scope: Construct, settings: Settings, vpc: IVpc): Source {
  return 'host' in settings.source ? existing(scope, settings.source) : created(scope, settings, settings.source, vpc);
}

function existing(scope: Construct, s: ExistingSource): Source {
  const server = s.securityGroupId === undefined ? undefined : SecurityGroup.fromSecurityGroupId(scope, 'SourceSecurityGroup', s.securityGroupId);
  return {
    host: s.host,
    port: String(s.port),
    user: Secret.fromSecretCompleteArn(scope, 'ReplicationUser', s.secretArn),
    created: undefined,
    admit(client) {
      client.addEgressRule(server ?? Peer.anyIpv4(), Port.tcp(s.port), 'MySQL');
      server?.addIngressRule(client, Port.tcp(s.port), 'binlogstreamer replicate');
    },
  };
}

/** What the binlog has to hold. The names are the RDS API's, among which gtid-mode is the one with a dash. */
export const parameters: Readonly<Record<string, string>> = {
  binlog_format: 'ROW',
  binlog_row_image: 'full',
  binlog_row_metadata: 'full', // names, signs, character sets and keys of the columns at each place of the log
  'gtid-mode': 'ON', // a failover to another server is followed by GTIDs
  enforce_gtid_consistency: 'ON',
  require_secure_transport: '1',
};

function created(scope: Construct, settings: Settings, s: NewSource, vpc: IVpc): Source {
  const engine = DatabaseInstanceEngine.mysql({ version: MysqlEngineVersion.VER_8_4_10 });
  const admin = new DatabaseSecret(scope, 'Administrator', { username: 'administrator' });
  const instance = new DatabaseInstance(scope, 'Source', {
    engine,
    vpc,
    vpcSubnets: { subnetType: subnetType(settings) },
    publiclyAccessible: false,
    instanceType: new InstanceType(s.instanceClass),
    multiAz: s.multiAz,
    storageType: StorageType.GP3,
    allocatedStorage: s.allocatedStorageGiB,
    maxAllocatedStorage: 2 * s.allocatedStorageGiB,
    storageEncrypted: true,
    credentials: Credentials.fromSecret(admin),
    iamAuthentication: true,
    parameterGroup: new ParameterGroup(scope, 'Parameters', { engine, description: `binlogstreamer ${settings.name}: what replication needs`, parameters: { ...parameters } }),
    backupRetention: Duration.days(7), // without backups RDS writes no binlog at all
    copyTagsToSnapshot: true,
    deletionProtection: true,
    removalPolicy: RemovalPolicy.SNAPSHOT,
  });
  const user = new DatabaseSecret(scope, 'ReplicationUser', { username: 'binlogstreamer' });
  return {
    host: instance.dbInstanceEndpointAddress,
    port: instance.dbInstanceEndpointPort,
    user: user.attach(instance),
    created: { instance, admin, storageGiB: s.allocatedStorageGiB, binlogRetentionHours: s.binlogRetentionHours },
    admit: (client) => instance.connections.allowDefaultPortFrom(client, 'binlogstreamer'),
  };
}
