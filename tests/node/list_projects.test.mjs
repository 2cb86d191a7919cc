// `examples/node/list_projects.ts`, as a user runs and compiles it, against Flyte's admin service behind the sandbox.
// tests/e2e/test_list_projects.py has the same client in Python and Rust.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Home } from './harness/home.mjs';
import { closedPort } from './harness/ports.mjs';
import { Program } from './harness/program.mjs';
import { ALICE, BINARY, Sandbox } from './harness/sandbox.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const PYTHON = path('../../.venv/bin/python');
const SERVICE = path('../e2e/programs/admin_service.py');
const EXAMPLE = path('../../examples/node/list_projects.ts');
/** Those that run TypeScript by leaving its types out. */
const RUNTIMES = { 'Node 22': 'node-22', 'Node 24': 'node-24' };
const MACHINE = { FLYTE_AUTH_CLIENT_ID: 'flytepropeller', FLYTE_AUTH_CLIENT_SECRET: 'foobar' };
const LISTED = 'flytesnacks  Examples\nflyteexamples  More examples\npayments  Payments\nsearch  Search\n';
const DONE = { code: 0, stdout: LISTED, stderr: '' };
// Runs a program on a terminal of its own.
const ON_A_TERMINAL = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
// A person on a machine without a display.
const SSH = { SSH_CONNECTION: '192.0.2.1 50000 192.0.2.2 22' };

let issuer, service, admin;
before(async () => {
  issuer = await Sandbox.start('--auto-approve', ALICE);
});
after(() => issuer.stop());

/** A user's home, with the example beside what npm installed. */
let home, folder;
beforeEach(async () => {
  home = new Home();
  folder = join(home.path, 'user');
  mkdirSync(folder);
  symlinkSync(path('node_modules'), join(folder, 'node_modules'));
  copyFileSync(path('../../examples/node/package.json'), join(folder, 'package.json'));
  copyFileSync(EXAMPLE, join(folder, 'list_projects.ts'));
  service = new Program(issuer.grpc, { runtime: [PYTHON, SERVICE] });
  admin = await service.line();
});
afterEach(async () => {
  await service.stop();
  home.remove();
});

/** Every call that arrived at the service. */
const calls = async () => (await fetch(admin.control)).json();
/** Of each: who made it, and why it was refused. */
const served = async () => (await calls()).map(({ subject, refused }) => [subject, refused]);
const asks = (wish) => fetch(admin.control, { method: 'POST', body: JSON.stringify(wish) });
const digest = (token) => createHash('sha256').update(token).digest('hex');

function runs(command, args, env = {}) {
  const options = { cwd: folder, env: home.env(env), timeout: 60_000 };
  return new Promise((resolve) =>
    execFile(command, args, options, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
    ),
  );
}

/** Runs on a terminal until Alice has opened the address that it shows; the sandbox approves by itself. */
async function signsIn(command, args, env = {}) {
  const child = spawn(PYTHON, ['-c', ON_A_TERMINAL, command, ...args], { cwd: folder, env: home.env(env) });
  const ended = once(child, 'close');
  let [seen, visited] = ['', undefined];
  for await (const text of child.stdout.setEncoding('utf8')) {
    seen += text;
    const [url] = /http\S+user_code=\S+(?=\s)/.exec(seen) ?? [];
    if (url && !visited) visited = await fetch(url);
  }
  const [code] = await ended;
  assert.equal(visited?.status, 200, seen);
  assert.equal(code, 0, seen);
  return seen.replaceAll('\r', '');
}

/** Signs Alice in by the command; gives her token. */
async function signedIn() {
  await signsIn(BINARY, ['login', admin.endpoint, '--flow', 'device']);
  return (await runs(BINARY, ['token', '--endpoint', admin.endpoint])).stdout.trim();
}

/** What a program that failed says: one line, and nothing was listed. */
function failure({ code, stdout, stderr }) {
  assert.deepEqual([code, stdout], [1, ''], stderr);
  assert.match(stderr, /^list_projects: [^\n]*\n$/);
  assert.doesNotMatch(stderr, /eyJ|foobar/, 'a secret');
  return stderr;
}

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  const node = path(`runtimes/node_modules/${runtime}/bin/node`);
  /** With the endpoint as its argument. */
  const lists = (env, endpoint = admin.endpoint) => runs(node, ['list_projects.ts', endpoint], env);

  describe(name, { timeout: 120_000 }, () => {
    test('the first run signs in, and the next asks nobody', async () => {
      const seen = await signsIn(node, ['list_projects.ts', admin.endpoint], SSH);
      assert(seen.endsWith(LISTED), seen);
      assert.deepEqual(await lists(), DONE);
      assert.deepEqual(await served(), Array(4).fill([ALICE, null]), 'each run asks for two pages');
    });

    test('the endpoint of the configuration', async () => {
      const file = join(home.path, '.flyte', 'config.yaml');
      mkdirSync(join(home.path, '.flyte'));
      writeFileSync(file, `admin:\n  endpoint: ${admin.endpoint}\n`);
      assert.deepEqual(await runs(node, ['list_projects.ts'], MACHINE), DONE);
      assert.deepEqual(await served(), Array(2).fill(['flytepropeller', null]));
    });

    test('nobody to ask', async () => {
      const line = failure(await lists());
      assert.match(line, /not signed in to 127\.0\.0\.1:\d+\. Run: flyte-auth login /);
      assert.deepEqual(await calls(), [], 'no call is made that would be refused');
    });

    test('a revoked token is replaced once', async () => {
      const token = await signedIn();
      await asks({ revoked: digest(token) });
      const before = await issuer.requestsTo('/oauth2/token');
      assert.deepEqual(await lists(), DONE);
      assert.deepEqual(await served(), [
        [null, 'UNAUTHENTICATED'],
        [ALICE, null],
        [ALICE, null],
      ]);
      const [first, second, third] = (await calls()).map(({ tokens }) => tokens.join());
      assert.equal(first, digest(token));
      assert.notEqual(second, first);
      assert.equal(third, second);
      assert.equal(await issuer.requestsTo('/oauth2/token'), before + 1);
    });

    test('a service that takes no token', async () => {
      await asks({ code: 'UNAUTHENTICATED', count: 10 });
      assert.match(failure(await lists(MACHINE)), /UNAUTHENTICATED/);
      assert.equal((await calls()).length, 2, 'a call is made once more, and not again');
    });

    test('what the service says', async () => {
      await asks({ code: 'PERMISSION_DENIED', count: 1 });
      assert.equal(failure(await lists(MACHINE)), 'list_projects: PERMISSION_DENIED: as the test wants it\n');
      assert.equal((await calls()).length, 1);
    });

    test('a wrong endpoint', async () => {
      const line = failure(await lists(MACHINE, `http://127.0.0.1:${await closedPort()}`));
      assert.match(line, /no answer from 127\.0\.0\.1:\d+ .*Check host and port/);
    });

    test('no endpoint', async () => {
      assert.match(failure(await runs(node, ['list_projects.ts'])), /which Flyte endpoint\?/);
    });
  });
}

describe('its types', { timeout: 120_000 }, () => {
  /** What the compiler says of it, with the settings of a strict project. */
  async function complaints(compiler) {
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      types: ['node'],
      // What a Node that leaves types out asks for.
      erasableSyntaxOnly: true,
      verbatimModuleSyntax: true,
      // flyteidl's declarations mean a global `Long` that they do not declare.
      skipLibCheck: true,
    };
    const project = join(folder, 'tsconfig.json');
    writeFileSync(project, JSON.stringify({ compilerOptions, files: ['list_projects.ts'] }));
    const tsc = join(folder, 'node_modules', compiler, 'bin/tsc');
    return (await runs(process.execPath, [tsc, '--project', project])).stdout;
  }

  for (const compiler of ['typescript', 'typescript-5']) {
    test(`${compiler} accepts it`, async () => assert.equal(await complaints(compiler), ''));
  }

  test('they are real: a wrong line is found', async () => {
    const text = readFileSync(EXAMPLE, 'utf8');
    const spoilt = text.replace('page.token;', 'page.tokens;').replace('session.login()', 'session.logon()');
    writeFileSync(join(folder, 'list_projects.ts'), spoilt);
    const found = (await complaints('typescript')).match(/error TS\d+.*/g);
    assert.equal(found?.length, 2);
    assert.match(found[0], /'logon' does not exist on type 'Session'/);
    assert.match(found[1], /'tokens' does not exist on type 'Projects'/);
  });
});
