import { Template } from 'aws-cdk-lib/assertions';
import { Node } from 'constructs';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeApp } from '../lib/app';
import { readSettings, Settings } from '../lib/settings';

const folder = join(__dirname, '..', '..');
const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
const { context } = read('cdk.json');

/** The settings of cdk.json with some of them changed. */
export function settingsWith(changes: Record<string, unknown> = {}): Settings {
  return readSettings({ tryGetContext: () => ({ ...context.binlogstreamer, ...changes }) } as unknown as Node);
}

/** The template of the stack with some settings changed. */
export function synthesize(changes: Record<string, unknown> = {}): Template {
  const { stack } = makeApp({ context: { ...context, ...read('cdk.context.json'), binlogstreamer: { ...context.binlogstreamer, ...changes } } });
  return Template.fromStack(stack);
}

/** The only resource of a type whose id in the code is id; any, if it is left out. */
export function only(t: Template, type: string, id?: string): { id: string; properties: any; resource: any } {
  const found = Object.entries(t.findResources(type)).filter(([logical]) => id === undefined || logical.replace(/[0-9A-F]{8}$/, '') === id);
  if (found.length !== 1) {
    throw new Error(`${found.length} resources are a ${type} ${id ?? ''}`);
  }
  const [logical, resource] = found[0]!;
  return { id: logical, properties: resource['Properties'], resource };
}
