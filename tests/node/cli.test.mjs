// `npx flyte-auth …`: the command line in the package, its exit codes and streams, and the circle: a `command` that is ours.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Home } from './harness/home.mjs';
import { ALICE, Sandbox } from './harness/sandbox.mjs';

const BIN = fileURLToPath(new URL('node_modules/flyte-auth/bin/flyte-auth.js', import.meta.url));
const MACHINE = {
  FLYTE_AUTH_TYPE: 'ClientSecret',
  FLYTE_AUTH_CLIENT_ID: 'flytepropeller',
  FLYTE_AUTH_CLIENT_SECRET: 'foobar',
};
const home = new Home();
let server;
before(async () => (server = await Sandbox.start('--auto-approve', ALICE)));
after(async () => {
  await server.stop();
  home.remove();
});

/** What `node flyte-auth.js …` leaves. */
function runs(args, { env = {}, input } = {}) {
  return new Promise((resolve) => {
    const options = { env: home.env(env), cwd: home.path, timeout: 30_000 };
    const child = execFile(process.execPath, [BIN, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
    child.stdin.end(input);
  });
}

test('the version, the help, and no command', async () => {
  const { version } = JSON.parse(readFileSync(new URL('node_modules/flyte-auth/package.json', import.meta.url)));
  assert.deepEqual(await runs(['--version']), { code: 0, stdout: `flyte-auth ${version}\n`, stderr: '' });
  const help = await runs(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /login/);
  assert.equal((await runs(['no-such-command'])).code, 2);
});

test('a token', async () => {
  const { code, stdout, stderr } = await runs(['token', '--endpoint', server.http], { env: MACHINE });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^[\x21-\x7e]+\n$/);
  assert.equal(await server.me({ authorization: `Bearer ${stdout.trim()}` }), 200);
});

test('the exit codes of the contract', async () => {
  const nobody = await runs(['token', '--endpoint', server.http]);
  assert.deepEqual([nobody.code, nobody.stdout], [4, '']);
  assert.match(nobody.stderr, /^flyte-auth: not signed in to .*\. Run: flyte-auth login .*\n$/);
  assert.equal((await runs(['token', '--endpoint', 'grpc://x'])).code, 2);
  assert.equal((await runs(['token', '--endpoint', 'http://127.0.0.1:1'], { env: MACHINE })).code, 3);
  const denied = await runs(['token', '--endpoint', server.http], {
    env: {
      ...MACHINE,
      FLYTE_AUTH_CLIENT_ID: 'flytepropeller',
      FLYTE_AUTH_CLIENT_SECRET: 'made-up',
      FLYTE_AUTH_STORE: 'none',
    },
  });
  assert.equal(denied.code, 5);
});

test('a signal ends it, with the code for it', async () => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    const child = spawn(process.execPath, [BIN, 'login', server.http, '--flow', 'device', '--no-browser'], {
      env: home.env(),
      cwd: home.path,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = once(child, 'close');
    await Promise.race([once(child.stderr, 'data'), ended]);
    child.kill(signal);
    const [exited, by] = await ended;
    assert(exited === code || by === signal, `${signal}: ${exited} ${by}`);
  }
});

test('it says of itself how it is started again', async () => {
  const { code, stdout, stderr } = await runs(['configure', server.http]);
  assert.equal(code, 0, stderr);
  assert(stdout.includes(process.execPath) && stdout.includes(BIN), stdout);
});

test('a command that is ours is not run: one session for all', async () => {
  // What `configure` writes here.
  const path = join(home.path, 'config.yaml');
  const command = JSON.stringify([process.execPath, BIN, 'token', '--endpoint', server.http, '--store', 'memory']);
  writeFileSync(path, `admin:\n  endpoint: ${server.http}\n  authType: ExternalCommand\n  command: ${command}\n`);
  const nobody = await runs(['token', '--config', path]);
  assert.equal(nobody.code, 4, nobody.stderr);
  const explained = await runs(['config', 'explain', '--json', '--config', path]);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /admin\.command/, 'its flags count');
});

test('the command loads nothing of the API', async () => {
  const source = `
    process.on('exit', () => console.error(JSON.stringify(Object.keys(require.cache))));
    process.argv.push('--version');
    require(process.argv[1]);
  `;
  const done = await new Promise((resolve) =>
    execFile(process.execPath, ['-e', source, BIN], { env: home.env() }, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    ),
  );
  const loaded = JSON.parse(done.stderr.trim().split('\n').at(-1)).map((each) => each.replace(/^.*node_modules\//, ''));
  assert.deepEqual(loaded.filter((each) => !each.endsWith('.node')).sort(), [
    'flyte-auth/bin/flyte-auth.js',
    'flyte-auth/dist/addon.js',
    'flyte-auth/package.json',
  ]);
});
