import { App, AppProps, Validations } from 'aws-cdk-lib';
import recommended from 'aws-cdk-lib/recommended-feature-flags.json';
import { AwsSolutionsChecks } from 'cdk-nag';
import { readSettings } from './settings';
import { BinlogstreamerStack } from './stack';

/** The app with its one stack, which AWS's own rules are held against: a finding that is not acknowledged fails the synthesis. */
export function makeApp(props: AppProps = {}): { readonly app: App; readonly stack: BinlogstreamerStack } {
  // The flags are how the library behaves in projects that begin today.
  const app = new App({ ...props, postCliContext: recommended });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const settings = readSettings(app.node);
  return { app, stack: new BinlogstreamerStack(app, `binlogstreamer-${settings.name}`, settings) };
}
