// Worker threads and contexts beyond what lifecycle.test.mjs has: the ordinary end 200 times, workers that hold nobody up,
// and what a process leaves unhandled. `LOOPS` changes how often (200).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Home } from './harness/home.mjs';
import { run } from './harness/run.mjs';
import { ALICE, Sandbox } from './harness/sandbox.mjs';

const LOOPS = Number(process.env.LOOPS ?? 200);
const DEADLINE = { timeout: 120_000 };

let sandbox;
let home;
before(async () => {
  sandbox = await Sandbox.start('--auto-approve', ALICE);
  home = new Home();
});
after(async () => {
  await sandbox.stop();
  home.remove();
});

/** What each program begins with: `worker(source)` starts one, in which `Session` and `machine()` are there. */
const PRELUDE = `
  import { createRequire } from 'node:module';
  import { Worker } from 'node:worker_threads';
  import vm from 'node:vm';
  const require = createRequire(process.cwd() + '/');
  const module = require.resolve('flyte-auth');
  const { Session } = require(module);
  const { HTTP: http, SECRET: clientSecret } = process.env;
  const options = { store: 'memory', authType: 'ClientSecret', clientId: 'flytepropeller', clientSecret };
  const machine = () => Session.forEndpoint(http, options);
  const worker = (source) => new Worker(
    \`
      const { parentPort, workerData } = require('node:worker_threads');
      const { Session } = require(workerData.module);
      const machine = () => Session.forEndpoint(workerData.http, workerData.options);
      \${source}
    \`,
    { eval: true, execArgv: [], workerData: { module, http, options } },
  );
  const end = (worker) => new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
  process.on('unhandledRejection', (why) => console.error('unhandled', why));
`;
const program = (source, options = {}) =>
  run(PRELUDE + source, { home, env: { HTTP: sandbox.http, SECRET: 'foobar' }, deadline: 100_000, ...options });

function printed(ended, expected) {
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, ''], ended.stdout);
  assert.equal(ended.stdout, `${expected}\n`);
}

describe('a worker thread', DEADLINE, () => {
  for (const [name, source] of [
    ['after a token', 'machine().token().then((token) => parentPort.postMessage(token !== null))'],
    [
      'after a token and `close()`',
      'const it = machine(); it.token().then((token) => { it.close(); parentPort.postMessage(token !== null); })',
    ],
    [
      'after an aborted wait',
      'machine().token({ signal: AbortSignal.timeout(1) }).catch(() => {}).finally(() => parentPort.postMessage(true))',
    ],
  ]) {
    test(`ends by itself ${name}, ${LOOPS} times`, async (t) => {
      const ended = await program(`
        let [started, good] = [0, 0];
        const lane = async () => {
          while (started < ${LOOPS}) {
            started += 1;
            const one = worker(${JSON.stringify(source)});
            one.on('message', (told) => (good += told));
            if ((await end(one)) !== 0) throw new Error('a worker failed');
          }
        };
        await Promise.all([lane(), lane(), lane(), lane()]);
        console.log(good);
      `);
      printed(ended, LOOPS);
      t.diagnostic(`${(ended.took / LOOPS).toFixed(1)} ms each`);
    });
  }

  test('that ends while its verifier waits takes nothing with it', async () => {
    const ended = await program(`
      import { createServer } from 'node:net';
      const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
      await new Promise((resolve) => silent.on('listening', resolve));
      const token = [{ alg: 'RS256', kid: 'k', typ: 'at+jwt' }, { iss: 'https://i', aud: 'a', exp: 9e9, iat: 1, sub: 's' }]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.') + '.AAAA';
      for (let round = 0; round < 20; round += 1) {
        const one = worker(\`
          const { Verifier } = require(workerData.module);
          const jwksUri = 'http://127.0.0.1:\${silent.address().port}/jwks';
          new Verifier({ issuer: 'https://i', audience: 'a', jwksUri, plaintext: true }).verify('\${token}').catch(() => {});
        \`);
        const over = end(one);
        await new Promise((resolve) => silent.once('connection', resolve));
        await one.terminate();
        await over;
      }
      silent.close();
      await machine().token();
      console.log('done');
      process.exit(0);
    `);
    printed(ended, 'done');
  });

  test("that is unref'd and waits holds no process up", async () => {
    await sandbox.fault('delay-8000', 4, { path: '/oauth2/token' });
    const before = await sandbox.requestsTo('/oauth2/token');
    const ended = await program(
      `
        const one = worker("machine().token().catch(() => {})");
        one.unref();
        process.stdin.once('data', () => { process.stdin.destroy(); console.log('ends'); });
      `,
      {
        started: async (child) => {
          await sandbox.served('/oauth2/token', before + 1);
          child.stdin.write('end');
        },
      },
    );
    await sandbox.clearFaults();
    printed(ended, 'ends');
    assert(ended.took < 7_000, `it took ${ended.took} ms`);
  });

  test('whose session fails leaves the others alone', async () => {
    const ended = await program(`
      const bad = worker("Session.forEndpoint(workerData.http, { store: 'none of them' })");
      const why = await end(bad).catch((error) => error.name + ' ' + error.kind);
      const good = worker("machine().token().then((token) => parentPort.postMessage(token.headerName))");
      const told = new Promise((resolve) => good.on('message', resolve));
      await end(good);
      console.log(why, await told);
    `);
    assert.deepEqual([ended.code, ended.stderr], [0, '']);
    assert.match(ended.stdout, /^\w*Error (config|undefined) authorization\n$/);
  });
});

describe('one process', DEADLINE, () => {
  test('gives the package to vm contexts, many times', async () => {
    const ended = await program(`
      for (let round = 0; round < 50; round += 1) {
        const context = vm.createContext({ Session, http, options, AbortController });
        const made = vm.runInContext('(async () => (await Session.forEndpoint(http, { ...options }).token()).headerName)()', context);
        if ((await made) !== 'authorization') throw new Error('no token');
      }
      console.log('done');
    `);
    printed(ended, 'done');
  });

  test('loads the package anew, with its native half as it is', async () => {
    const ended = await program(`
      for (let round = 0; round < 20; round += 1) {
        for (const name of Object.keys(require.cache)) if (name.includes('flyte-auth')) delete require.cache[name];
        const again = require('flyte-auth').Session;
        if (again === Session) throw new Error('the same module');
        if ((await again.forEndpoint(http, options).token()).headerName !== 'authorization') throw new Error('no token');
      }
      console.log('done');
    `);
    printed(ended, 'done');
  });

  test('ends by itself whatever was used, and nothing is left unhandled', async () => {
    const ended = await program(`
      const session = machine();
      await session.token();
      await session.whoami();
      await session.status();
      const login = await Session.forEndpoint(http, { store: 'memory' }).beginLogin({ flow: 'device' });
      login.cancel();
      const left = await Session.forEndpoint(http, { store: 'memory', account: 'b@example.org' }).beginLogin({ flow: 'pkce', noBrowser: true });
      await left.finish({ timeout: 50 }).catch((error) => error);
      const aborting = new AbortController();
      const waits = [session.whoami({ signal: aborting.signal }), session.status({ signal: aborting.signal })];
      aborting.abort();
      await Promise.allSettled(waits);
      session.close();
      console.log(process.getActiveResourcesInfo().filter((name) => !/^(Pipe|TTY|File)/.test(name)).join());
    `);
    printed(ended, '');
    assert(ended.took < 8_000, `it took ${ended.took} ms`);
  });

  test('that begins a login and forgets it ends all the same', async () => {
    const ended = await program(`
      await Session.forEndpoint(http, { store: 'memory', account: 'c@example.org' }).beginLogin({ flow: 'device' });
      console.log('forgotten');
    `);
    printed(ended, 'forgotten');
    assert(ended.took < 8_000, `it took ${ended.took} ms`);
  });
});
