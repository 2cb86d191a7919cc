// How processes and worker threads end, with a refresh or a login under way: nobody hangs, nothing crashes, no session is
// lost. `LOOPS` changes how often (200).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';

import { Home } from './harness/home.mjs';
import { run } from './harness/run.mjs';
import { ALICE, Sandbox } from './harness/sandbox.mjs';

const LOOPS = Number(process.env.LOOPS ?? 200);
const DEADLINE = { timeout: 120_000 };

let sandbox;
let home;
before(async () => {
  sandbox = await Sandbox.start('--auto-approve', ALICE, '--rotate-refresh-tokens', '--access-token-lifetime', '2');
  home = new Home();
});
after(async () => {
  await sandbox.stop();
  home.remove();
});

/** What each program begins with. */
const here = () => `
  import { Session } from 'flyte-auth';
  const alice = () => Session.forEndpoint('${sandbox.http}');
  const machine = () => Session.forEndpoint('${sandbox.http}', {
    store: 'memory', authType: 'ClientSecret', clientId: 'flytepropeller', clientSecret: process.env.SECRET,
  });
`;
const program = (source, options = {}) => run(here() + source, { home, env: { SECRET: 'foobar' }, ...options });

function endedWell(ended) {
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, ''], ended.stdout);
}

async function signIn() {
  endedWell(
    await program(`
      const login = await alice().beginLogin({ flow: 'pkce', noBrowser: true });
      const finished = login.finish();
      await (await fetch(login.url)).text();
      await finished;
    `),
  );
}

describe('the end of a process', DEADLINE, () => {
  test('comes by itself after a token', async () => {
    const ended = await program('console.log((await machine().token()).headerName)');
    endedWell(ended);
    assert.equal(ended.stdout, 'authorization\n');
    assert(ended.took < 5_000, `it took ${ended.took} ms`);
  });

  test('does not wait for a background refresh without need, and comes once it is saved', async () => {
    await signIn();
    // Due, not expired: the old token serves and the refresh runs behind it.
    await later(1_100);
    await sandbox.fault('delay-700', 1, { path: '/oauth2/token' });
    const ended = await program('console.log((await alice().token()) !== null)');
    endedWell(ended);
    assert(ended.took < 5_000);
    endedWell(await program('await alice().token()'));
  });

  for (const [how, end] of [
    ['process.exit()', 'process.exit(0)'],
    ['an error that nobody catches', "setTimeout(() => { throw new Error('a bug') })"],
  ]) {
    test(`by ${how} with a refresh under way keeps the session`, async () => {
      await signIn();
      await later(2_100);
      const before = await sandbox.requestsTo('/oauth2/token');
      await sandbox.fault('delay-700', 1, { path: '/oauth2/token' });
      const ended = await program(
        `
          alice().token().catch(() => {});
          process.stdin.once('data', () => { ${end}; });
        `,
        {
          started: async (child) => {
            await sandbox.served('/oauth2/token', before + 1);
            child.stdin.write('end');
          },
        },
      );
      assert.equal(ended.signal, null, ended.stderr);
      assert(ended.took < 5_000, `it took ${ended.took} ms`);
      // The server has replaced the refresh token: whoever has only the old one would need a login.
      const next = await program('console.log((await alice().token()).headerName)');
      endedWell(next);
    });
  }

  test('by process.exit() with a login under way is at once, and frees its lock and port', async () => {
    for (let round = 0; round < 5; round += 1) {
      const ended = await program(`
        const login = await Session.forEndpoint('${sandbox.http}', { account: 'nobody@example.org' })
          .beginLogin({ flow: 'pkce', noBrowser: true });
        login.finish().catch(() => {});
        setTimeout(() => process.exit(0), 20);
      `);
      endedWell(ended);
      assert(ended.took < 5_000);
    }
  });

  for (const signal of ['SIGINT', 'SIGTERM']) {
    test(`by ${signal} during a wait is Node's own`, async () => {
      await sandbox.fault('delay-3000', 1, { path: '/oauth2/token' });
      const before = await sandbox.requestsTo('/oauth2/token');
      const ended = await program('await machine().token()', {
        started: async (child) => {
          await sandbox.served('/oauth2/token', before + 1);
          child.kill(signal);
        },
      });
      assert.equal(ended.signal, signal);
      await sandbox.clearFaults();
    });
  }

  test('a wait keeps the process, and an aborted one lets it go', async () => {
    await sandbox.fault('delay-400', 2, { path: '/oauth2/token' });
    const waits = await program("machine().token().then(() => console.log('a token'))");
    endedWell(waits);
    assert.equal(waits.stdout, 'a token\n');
    await sandbox.fault('delay-5000', 1, { path: '/oauth2/token' });
    const aborted = await program(`
      machine().token({ signal: AbortSignal.timeout(100) }).catch((error) => console.log(error.name));
    `);
    endedWell(aborted);
    assert.equal(aborted.stdout, 'TimeoutError\n');
    assert(aborted.took < 4_500, `it took ${aborted.took} ms`);
    await sandbox.clearFaults();
  });
});

const WORKERS = `
  import { createRequire } from 'node:module';
  import { Worker } from 'node:worker_threads';
  const source = \`
    const { parentPort, workerData } = require('node:worker_threads');
    const { Session } = require(workerData.module);
    const session = Session.forEndpoint(workerData.http, workerData.options);
    const ways = {
      refresh: () => void session.token().catch(() => {}),
      login: async () => {
        const login = await session.beginLogin({ flow: 'device' });
        login.finish().catch(() => {});
      },
    };
    Promise.resolve(ways[workerData.way]()).then(() => {
      parentPort.postMessage('under way');
      if (workerData.end === 'exit') process.exit(0);
    });
  \`;
  const module = createRequire(process.cwd() + '/').resolve('flyte-auth');
  const machine = { authType: 'ClientSecret', clientId: 'flytepropeller', clientSecret: process.env.SECRET };
  let ended = 0;
  async function one(round) {
    const way = round % 2 ? 'refresh' : 'login';
    const end = process.env.END;
    const options = { store: 'memory', ...(way === 'refresh' ? machine : { account: 'user-' + round + '@example.org' }) };
    const worker = new Worker(source, { eval: true, execArgv: [], workerData: { module, http: process.env.HTTP, options, way, end } });
    const over = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
    await new Promise((resolve) => worker.on('message', resolve).on('exit', resolve));
    if (end === 'terminate') await worker.terminate();
    await over;
    ended += 1;
  }
  let round = 0;
  const loops = Number(process.env.LOOPS);
  await Promise.all(Array.from({ length: 4 }, async () => { while (round < loops) await one(round++); }));
  console.log(ended);
`;

describe('the end of a worker thread', { timeout: 300_000 }, () => {
  for (const end of ['terminate', 'exit']) {
    test(`by ${end}, with a refresh or a login under way, ${LOOPS} times`, async (t) => {
      await sandbox.fault('delay-150', 100_000, { path: '/oauth2/token' });
      const env = { END: end, LOOPS: String(LOOPS), HTTP: sandbox.http, SECRET: 'foobar' };
      const ended = await run(WORKERS, { home, env, deadline: 140_000 });
      endedWell(ended);
      assert.equal(ended.stdout, `${LOOPS}\n`);
      t.diagnostic(`${(ended.took / LOOPS).toFixed(1)} ms each`);
      await sandbox.clearFaults();
    });
  }

  test('by itself; the package in eight at once shares one refresh', async () => {
    await signIn();
    await later(2_100);
    const before = await sandbox.requestsTo('/oauth2/token');
    const ended = await program(`
      import { createRequire } from 'node:module';
      import { Worker } from 'node:worker_threads';
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads');
        const { Session } = require(workerData.module);
        Session.forEndpoint(workerData.http).token().then((token) => parentPort.postMessage(token.value));
      \`;
      const workerData = { module: createRequire(process.cwd() + '/').resolve('flyte-auth'), http: '${sandbox.http}' };
      const all = await Promise.all(Array.from({ length: 8 }, () => new Promise((resolve, reject) => {
        let value;
        new Worker(source, { eval: true, execArgv: [], workerData })
          .on('message', (told) => (value = told)).on('error', reject).on('exit', () => resolve(value));
      })));
      console.log(new Set(all).size, all.every(Boolean));
    `);
    endedWell(ended);
    assert.equal(ended.stdout, '1 true\n');
    assert.equal((await sandbox.requestsTo('/oauth2/token')) - before, 1);
  });

  test('of the process, while workers wait', async () => {
    await sandbox.fault('delay-300', 100, { path: '/oauth2/token' });
    const env = { END: 'never', LOOPS: '4', HTTP: sandbox.http, SECRET: 'foobar' };
    for (let round = 0; round < 5; round += 1) {
      const ended = await run(`setTimeout(() => process.exit(0), ${100 + 40 * round});${WORKERS}`, { home, env });
      assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, '']);
    }
    await sandbox.clearFaults();
  });
});

describe('memory', DEADLINE, () => {
  test('ten thousand sessions and ten thousand aborted waits leave none', async (t) => {
    const ended = await program(
      `
        const settle = () => new Promise((resolve) => setImmediate(resolve));
        const megabytes = () => { gc(); return process.memoryUsage().rss / 2 ** 20; };
        async function round(count) {
          for (let at = 0; at < count; at += 1) {
            const session = machine();
            const aborting = new AbortController();
            const token = session.token({ signal: aborting.signal }).catch(() => {});
            aborting.abort();
            await token;
            session.close();
            if (at % 100 === 0) await settle();
          }
        }
        await round(10_000);
        const before = megabytes();
        await round(10_000);
        console.log(JSON.stringify({ grown: megabytes() - before }));
      `,
      { flags: ['--expose-gc'], deadline: 100_000 },
    );
    endedWell(ended);
    const { grown } = JSON.parse(ended.stdout);
    t.diagnostic(`${grown.toFixed(1)} MB`);
    assert(grown < 25, `it grew by ${grown} MB`);
  });
});
