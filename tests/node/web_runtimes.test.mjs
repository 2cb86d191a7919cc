// `flyte-auth/web` under the servers of Deno and Bun, where npm has installed them here.
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { consoleSuite } from './harness/console_suite.mjs';

for (const [name, words] of [
  ['deno', ['run', '--allow-all']],
  ['bun', []],
]) {
  const command = fileURLToPath(new URL(`runtimes/node_modules/.bin/${name}`, import.meta.url));
  if (existsSync(command)) consoleSuite('web', { name, runtime: [command, ...words] });
  else test(name, { skip: `npm has installed no ${name} here` }, () => {});
}
