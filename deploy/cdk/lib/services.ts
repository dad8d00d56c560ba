import { IVpc, Peer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Cluster, FargateService } from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { Settings } from './settings';
import { Source, subnetType } from './source';
import { Tasks } from './tasks';

export interface Services {
  readonly cluster: Cluster;
  readonly replicate: FargateService;
  readonly deliver: FargateService;
  /** Of replicate; the one-time tasks take it, too. */
  readonly nearSource: SecurityGroup;
}

/** The two services. See docs/DEPLOYMENT.md for why a deployment has both the old and the new replicate for a while. */
export function makeServices(scope: Construct, settings: Settings, vpc: IVpc, source: Source, tasks: Tasks): Services {
  const cluster = new Cluster(scope, 'Cluster', { vpc, clusterName: `binlogstreamer-${settings.name}` });
  const nearSource = group(scope, vpc, 'ReplicateSecurityGroup', 'binlogstreamer replicate');
  source.admit(nearSource);

  const service = (id: string, half: 'replicate' | 'deliver', desired: number, securityGroup: SecurityGroup) => new FargateService(scope, id, {
    cluster,
    serviceName: half,
    taskDefinition: tasks[half].definition,
    desiredCount: settings.running ? desired : 0,
    // The new task is there and healthy before the old one is stopped: a replicate stands by until the old one gives its
    // lock back, and delivers hand shards over one by one. Neither is ever absent, and nothing is done twice.
    minHealthyPercent: 100,
    maxHealthyPercent: 200,
    circuitBreaker: { enable: true, rollback: true },
    securityGroups: [securityGroup],
    vpcSubnets: { subnetType: subnetType(settings) },
    assignPublicIp: settings.subnets === 'public',
    enableECSManagedTags: true,
  });
  return {
    cluster,
    nearSource,
    replicate: service('ReplicateService', 'replicate', settings.replicateTasks, nearSource),
    deliver: service('DeliverService', 'deliver', settings.deliverTasks, group(scope, vpc, 'DeliverSecurityGroup', 'binlogstreamer deliver')),
  };
}

/** Nobody connects to a task, and a task connects to AWS's services only, besides the source. */
function group(scope: Construct, vpc: IVpc, id: string, description: string): SecurityGroup {
  const g = new SecurityGroup(scope, id, { vpc, description, allowAllOutbound: false });
  g.addEgressRule(Peer.anyIpv4(), Port.HTTPS, 'AWS services');
  return g;
}
