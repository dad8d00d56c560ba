import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Aws } from 'aws-cdk-lib';
import { Conditions, PolicyDocument, PrincipalBase, ServicePrincipal } from 'aws-cdk-lib/aws-iam';

/** Policies, task definitions and all else that runs without the CDK, too, stand in deploy/ecs. */
const folder = join(__dirname, '..', '..', '..', 'ecs');

/** Reads a policy of deploy/ecs and puts the stack's names in the place of its ${WORD}s. */
export function policy(file: string, words: Readonly<Record<string, string>>): PolicyDocument {
  const text = readFileSync(join(folder, file), 'utf8');
  return PolicyDocument.fromJson(fill(JSON.parse(text), file, words));
}

function fill(value: unknown, file: string, words: Readonly<Record<string, string>>): unknown {
  if (typeof value === 'string') {
    return value.replace(/^arn:aws:/, `arn:${Aws.PARTITION}:`).replace(/\$\{([A-Z_]+)\}/g, (_, word: string) => {
      const known = words[word];
      if (known === undefined) {
        throw new Error(`deploy/ecs/${file} has \${${word}}, which this stack has nothing for`);
      }
      return known;
    });
  }
  if (Array.isArray(value)) {
    return value.map((v) => fill(v, file, words));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fill(v, file, words)]));
  }
  return value;
}

/** Who may take up a role: tasks of this account's ECS. */
export function trust(words: Readonly<Record<string, string>>): PrincipalBase {
  const file = 'trust-policy.json';
  const { Statement: [statement] } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  return new ServicePrincipal(statement.Principal.Service, { conditions: fill(statement.Condition, file, words) as Conditions });
}
