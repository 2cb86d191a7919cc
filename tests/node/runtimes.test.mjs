// The basic suite (harness/programs/basic.mjs) in every runtime that npm installs: node/docs/runtimes.md has the table.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Home } from './harness/home.mjs';
import { ALICE, Sandbox } from './harness/sandbox.mjs';

const runtimes = fileURLToPath(new URL('runtimes/node_modules/', import.meta.url));
const basic = fileURLToPath(new URL('harness/programs/basic.mjs', import.meta.url));
const RUNTIMES = {
  'this Node': [process.execPath],
  'Node 22': [`${runtimes}node-22/bin/node`],
  'Node 24': [`${runtimes}node-24/bin/node`],
  Deno: [`${runtimes}.bin/deno`, 'run', '--allow-all'],
  Bun: [`${runtimes}.bin/bun`],
};
/** What a runtime is known not to do; a check that passes all the same is to be taken out here and in the table. */
const KNOWN = {};

let sandbox;
before(async () => {
  sandbox = await Sandbox.start('--auto-approve', ALICE);
});
after(() => sandbox.stop());

/** What each check came to, by name. */
async function played([command, ...words]) {
  const home = new Home();
  const env = { HTTP: sandbox.http, GRPC: sandbox.grpc, SECRET: 'foobar', RUNTIME_WORDS: words.join(' ') };
  const child = spawn(command, [...words, basic], { env: home.env(env) });
  let [output, complaints] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), 100_000);
  const code = await new Promise((resolve) => child.on('close', resolve).on('error', resolve));
  clearTimeout(timer);
  home.remove();
  const lines = output.split('\n').filter((line) => line.startsWith('{'));
  assert.equal(code, 0, `it ended with ${code}: ${output}${complaints}`);
  return new Map(lines.map((line) => JSON.parse(line)).map(({ name, why }) => [name, why]));
}

for (const [runtime, command] of Object.entries(RUNTIMES)) {
  describe(runtime, { timeout: 120_000 }, () => {
    test('the basic suite', async (t) => {
      const checks = await played(command);
      assert.equal(checks.size, 12);
      for (const [name, why] of checks) {
        await t.test(name, () => {
          if (KNOWN[runtime]?.includes(name)) assert.notEqual(why, '', 'it passes now');
          else assert.equal(why, '');
        });
      }
    });
  });
}
