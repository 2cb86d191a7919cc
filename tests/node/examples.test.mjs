// The programs of `examples/node`, and every line of code in the package's README, as a user runs them.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Home } from './harness/home.mjs';
import { ALICE, Sandbox } from './harness/sandbox.mjs';

const EXAMPLES = fileURLToPath(new URL('../../examples/node/', import.meta.url));
const README = readFileSync(new URL('../../node/README.md', import.meta.url), 'utf8');
const MACHINE = { FLYTE_AUTH_CLIENT_ID: 'flytepropeller', FLYTE_AUTH_CLIENT_SECRET: 'foobar' };
const home = new Home();
const folder = join(home.path, 'user');
let server;
before(async () => {
  server = await Sandbox.start('--auto-approve', ALICE);
  mkdirSync(folder);
  // As a user has them: beside what npm installed.
  symlinkSync(fileURLToPath(new URL('node_modules', import.meta.url)), join(folder, 'node_modules'));
  for (const name of readdirSync(EXAMPLES).filter((each) => each !== 'node_modules'))
    copyFileSync(join(EXAMPLES, name), join(folder, name));
});
after(async () => {
  await server.stop();
  home.remove();
});

function runs(args, env = {}) {
  return new Promise((resolve) =>
    execFile(process.execPath, args, { cwd: folder, env: home.env(env), timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    ),
  );
}

test('who am I', async () => {
  assert.deepEqual(await runs(['who_am_i.mjs', server.http], MACHINE), {
    code: 0,
    stdout: '/me answered 200\nsigned in as flytepropeller\nelsewhere: foreign_host\n',
    stderr: '',
  });
  const nobody = await runs(['who_am_i.mjs', server.http]);
  assert.deepEqual([nobody.code, nobody.stdout], [1, '']);
  assert.match(nobody.stderr, /^who_am_i: not signed in to .*\n$/);
});

test('a login in two steps', async () => {
  const { code, stdout, stderr } = await runs(['two_step_login.mjs', server.http]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^open http\S+ and enter \S+\nsigned in as alice@example\.org\n$/);
  await runs(['node_modules/flyte-auth/bin/flyte-auth.js', 'logout', server.http]);
});

test('a login in two steps that is given up', async () => {
  const waiting = await Sandbox.start();
  const program = spawn(process.execPath, ['two_step_login.mjs', waiting.http], { cwd: folder, env: home.env() });
  const ended = once(program, 'exit');
  await once(program.stdout, 'data');
  program.kill('SIGINT');
  assert.deepEqual(await ended, [130, null]);
  await waiting.stop();
});

/** The README's programs for a session: what stands for a user's endpoint is the sandbox's. */
const blocks = [...README.matchAll(/^```(js|ts)\n(.*?)^```/gms)].map(([, language, code]) => ({ language, code }));

test('the README has programs', () => assert(blocks.length >= 10));

for (const [index, { language, code }] of blocks.entries()) {
  const [first] = code.split('\n').filter((line) => line && !line.startsWith('import'));
  test(`README, program ${index + 1}: ${first}`, async () => {
    const name = `readme-${index}.${language === 'ts' ? 'mts' : 'mjs'}`;
    writeFileSync(
      join(folder, name),
      code.replaceAll('https://flyte.example.org', server.http).replaceAll('https://idp.example.org', server.issuer),
    );
    if (code.includes('// runs')) {
      const { code: exit, stderr } = await runs([name], { ...MACHINE, FLYTE_AUTH_ENDPOINT: server.http });
      assert.equal(exit, 0, stderr);
    } else if (language === 'js') {
      const { code: exit, stderr } = await runs(['--check', name]);
      assert.equal(exit, 0, stderr);
    }
    // What it imports is there.
    for (const [, names, from] of code.matchAll(/import \{([^}]*)\} from '(flyte-auth[^']*)'/g)) {
      const module = await import(from);
      for (const each of names
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one && !one.startsWith('type '))) {
        assert(each in module, `${from} has no ${each}`);
      }
    }
  });
}
