// Logins, in every way in which they are done and in every way in which they end; the one port that Flyte registers, and the
// login's lock, are free at once afterwards.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as passed } from 'node:timers/promises';
import { inspect, promisify } from 'node:util';

import * as flyteAuth from 'flyte-auth';
import { ConfigError, LoginCancelledError, LoginEvent, LoginRequiredError, Session } from 'flyte-auth';

import { Home, movesIn } from './harness/home.mjs';
import { CALLBACK_PORT, isListening } from './harness/ports.mjs';
import { ALICE, MACHINE, Sandbox } from './harness/sandbox.mjs';

movesIn();
// A login that does not end is a failure, and not the end of patience.
const timeout = 30_000;
/** One signs Alice in as soon as a browser comes; at the other somebody must approve, and nobody does. */
let server, waiting;
before(async () => {
  server = await Sandbox.start('--auto-approve', ALICE, '--rotate-refresh-tokens');
  waiting = await Sandbox.start();
});
after(() => Promise.all([server.stop(), waiting.stop()]));

const alice = (options = {}) => Session.forEndpoint(server.http, { store: 'memory', ...options });
const nobody = (options = {}) => Session.forEndpoint(waiting.http, { store: 'memory', ...options });
/** What a browser does: it follows the redirects, to the port where the login listens. */
const visit = async (url) => assert.equal((await fetch(url)).status, 200);
/** Where the server sends a browser back to. */
const redirectOf = async (url) => (await fetch(url, { redirect: 'manual' })).headers.get('location');

async function isSignedIn(session, outcome) {
  const { expiresAt, ...others } = outcome;
  assert(expiresAt > new Date());
  assert.deepEqual(others, {
    hasAuth: true,
    shared: false,
    subject: others.subject,
    email: others.email,
    hasRefreshToken: true,
  });
  assert.equal((await session.whoami()).email, ALICE);
  assert.equal((await session.status()).signedIn, true);
}

/** The next login has lock and port without waiting. */
async function isFree(session) {
  const begin = performance.now();
  const again = await session.beginLogin({ flow: 'pkce', noBrowser: true });
  const redirect = new URL(new URL(again.url).searchParams.get('redirect_uri'));
  assert.equal(redirect.port, String(CALLBACK_PORT));
  again.cancel();
  assert(performance.now() - begin < 1000, 'it had to wait');
}

test('device grant, told by events', async () => {
  const [session, events] = [alice(), []];
  const outcome = await session.login({
    flow: 'device',
    timeout,
    onEvent(event) {
      assert(event instanceof LoginEvent);
      assert.equal(session.tryToken(), null);
      events.push(event);
    },
  });
  await isSignedIn(session, outcome);
  const [code] = events.filter(({ kind }) => kind === 'user_code');
  assert(code.userCode && code.verificationUri.startsWith(server.http));
  assert(String(code).includes(code.userCode) && code.message === String(code));
  assert(!inspect(code).includes(code.userCode), 'a log is not for it');
  assert.deepEqual([code.url, code.opened, code.paste, code.remaining], [null, false, false, null]);
  const [wait] = events.filter(({ kind }) => kind === 'waiting');
  assert(wait.remaining > 0 && wait.remaining <= timeout, `${wait.remaining} ms`);
});

test('callbacks that are async are waited for, in order', async () => {
  const [session, seen] = [alice(), []];
  let running = 0;
  await session.login({
    flow: 'device',
    timeout,
    async onEvent({ kind }) {
      running += 1;
      assert.equal(running, 1);
      await assert.rejects(session.token(), LoginRequiredError);
      await passed(5);
      seen.push(kind);
      running -= 1;
    },
  });
  assert.equal(seen[0], 'user_code');
});

for (const [how, opens] of Object.entries({
  'a sync callback opens': (url) => void visit(url),
  'an async callback opens': async (url) => {
    await passed(5);
    visit(url);
    return true;
  },
  'a callback opens and never comes back': async (url) => {
    visit(url);
    await new Promise(() => {});
  },
})) {
  test(`a browser that ${how}`, async (t) => {
    const session = alice();
    const opened = t.mock.fn(opens);
    const outcome = await session.login({ flow: 'pkce', timeout, openBrowser: opened });
    assert.equal(opened.mock.callCount(), 1);
    await isSignedIn(session, outcome);
    await isFree(session);
  });
}

test('a callback that could not open one', async () => {
  const session = alice();
  const refused = session.login({ flow: 'pkce', timeout, openBrowser: () => false });
  await assert.rejects(refused, (error) => error instanceof ConfigError && /browser/.test(error.message));
  const kinds = [];
  const outcome = await session.login({ timeout, openBrowser: () => false, onEvent: ({ kind }) => kinds.push(kind) });
  await isSignedIn(session, outcome);
  assert(kinds.includes('user_code'), kinds.join());
});

test('a pasted address, on the second try', async () => {
  const session = alice();
  const url = Promise.withResolvers?.() ?? withResolvers();
  let asked = 0;
  const outcome = await session.login({
    flow: 'paste',
    timeout,
    onEvent(event) {
      if (event.kind === 'url') url.resolve(event);
    },
    async paste({ signal }) {
      assert(signal instanceof AbortSignal && !signal.aborted);
      asked += 1;
      const event = await url.promise;
      assert.equal(event.paste, true);
      return asked === 1 ? 'this is not it' : redirectOf(event.url);
    },
  });
  assert.equal(asked, 2);
  await isSignedIn(session, outcome);
});

test('a paste that never comes keeps nobody, and is told', async () => {
  const session = alice();
  let signal;
  const outcome = await session.login({
    flow: 'pkce',
    timeout,
    openBrowser: visit,
    paste: (options) => {
      signal = options.signal;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  await isSignedIn(session, outcome);
  assert(signal === undefined || signal.aborted);
});

test("the environment's browser, without callback and terminal", async () => {
  const own = new Home();
  const browser = join(own.path, 'browser.mjs');
  writeFileSync(browser, 'await fetch(process.argv[2]);\n');
  const source = `
    import { Session } from 'flyte-auth';
    const session = Session.forEndpoint(process.argv[1]);
    const { hasAuth, hasRefreshToken } = await session.login({ flow: 'pkce', timeout: ${timeout} });
    console.log(JSON.stringify({ hasAuth, hasRefreshToken, ...(await session.whoami()) }));
  `;
  const argv = ['--input-type=module', '--eval', source, server.http];
  const env = own.env({ BROWSER: `${process.execPath} ${browser} %s &` });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, argv, {
    env,
    cwd: new URL('.', import.meta.url),
  });
  assert.match(stderr, /code_challenge/, 'what the person needs');
  assert.deepEqual(JSON.parse(stdout), {
    hasAuth: true,
    hasRefreshToken: true,
    email: ALICE,
    name: 'Alice',
    preferredUsername: 'alice@example.org',
    subject: ALICE,
  });
  own.remove();
});

test('a terminal where nobody may be asked', async () => {
  const refused = nobody({ interactive: 'never' }).login({ timeout });
  await assert.rejects(refused, (error) => error instanceof flyteAuth.FlyteAuthError && !!error.nextStep);
});

for (const [how, finish] of Object.entries({
  'by the redirect': (pending) => {
    const finished = pending.finish();
    visit(pending.url);
    return finished;
  },
  'by a redirect before anybody waits': (pending) => {
    visit(pending.url);
    return pending.finish();
  },
  pasted: async (pending) => pending.finish({ redirectUrl: await redirectOf(pending.url) }),
})) {
  test(`two steps, ${how}`, async () => {
    const session = alice();
    const pending = await session.beginLogin({ flow: 'pkce', timeout });
    assert.equal(pending.userCode, null);
    assert(pending.expiresAt - Date.now() <= timeout);
    const outcome = await finish(pending);
    await isSignedIn(session, outcome);
    // Whoever asks again is told the same.
    assert.deepEqual(await pending.finish(), outcome);
    pending.cancel();
    await assert.rejects(pending.finish(), { name: 'LoginCancelledError', reason: 'login_over' });
    await isFree(session);
  });
}

test('two steps by device grant, and many who wait', async () => {
  const session = alice();
  const pending = await session.beginLogin({ flow: 'device' });
  assert(pending.userCode && !inspect(pending).includes(pending.userCode) && !inspect(pending).includes(pending.url));
  const outcomes = await Promise.all([pending.finish(), pending.finish({ timeout }), pending.finish()]);
  for (const each of outcomes) assert.deepEqual(each, outcomes[0]);
  await isSignedIn(session, outcomes[0]);
});

test("the module's own functions", async () => {
  const events = [];
  const options = { endpoint: server.http, store: 'memory', flow: 'device' };
  const outcome = await flyteAuth.login({ ...options, timeout, onEvent: (event) => events.push(event) });
  assert(outcome.hasRefreshToken && events.length > 0);
  const pending = await flyteAuth.beginLogin({ ...options, timeout: 5000 });
  assert(pending.expiresAt - Date.now() <= 5000);
  pending.cancel();
  // They read the configuration as `fromConfig` does.
  await assert.rejects(flyteAuth.login(), { name: 'ConfigError', reason: 'endpoint_missing' });
});

/** Every callback that can throw, and how. */
const THROWING = {
  onEvent: { flow: 'device' },
  openBrowser: { flow: 'pkce' },
  paste: { flow: 'paste' },
};
for (const [name, options] of Object.entries(THROWING)) {
  for (const kind of ['sync', 'async']) {
    test(`what ${name} throws (${kind}) ends the login and comes out as itself`, async () => {
      const [session, mine] = [nobody(), new RangeError('of the program')];
      const throws = () => {
        throw mine;
      };
      const throwsLater = async () => {
        await passed(5);
        throw mine;
      };
      const login = session.login({ ...options, timeout, [name]: kind === 'sync' ? throws : throwsLater });
      await assert.rejects(login, (error) => error === mine);
      await isFree(session);
    });
  }
}

test('what a callback throws may be anything', async () => {
  for (const thrown of [undefined, null, 7, 'flyte-auth:{"kind":"config"}', new Error('flyte-auth:{')]) {
    const login = nobody().login({
      flow: 'device',
      timeout,
      onEvent: () => {
        throw thrown;
      },
    });
    const caught = await login.then(
      () => assert.fail('it did not fail'),
      (error) => ({ error }),
    );
    assert(caught.error === thrown || caught.error instanceof SyntaxError, inspect(caught));
  }
});

test('a paste that is no text', async () => {
  for (const line of [undefined, 7, Buffer.from('x')]) {
    const session = nobody();
    await assert.rejects(
      session.login({ flow: 'paste', timeout, paste: () => line }),
      /^TypeError: paste must give a string/,
    );
    await isFree(session);
  }
});

/** Every wait of a login. */
const WAITS = {
  'login with events': (session, signal) => session.login({ flow: 'pkce', timeout, signal, openBrowser: () => {} }),
  'login with a paste': (session, signal) =>
    session.login({ flow: 'paste', timeout, signal, paste: () => new Promise(() => {}) }),
  'login by device grant': (session, signal) => session.login({ flow: 'device', timeout, signal, onEvent: () => {} }),
  'login with a callback that hangs': (session, signal) =>
    session.login({ flow: 'device', timeout, signal, onEvent: () => new Promise(() => {}) }),
  'login at the terminal': (session, signal) => session.login({ flow: 'paste', timeout, noBrowser: true, signal }),
  finish: async (session, signal) => (await session.beginLogin({ flow: 'pkce', noBrowser: true })).finish({ signal }),
  'finish with many who wait': async (session, signal) => {
    const pending = await session.beginLogin({ flow: 'pkce', noBrowser: true });
    const other = assert.rejects(pending.finish(), LoginCancelledError);
    await pending.finish({ signal }).finally(() => other);
  },
};
for (const [wait, call] of Object.entries(WAITS)) {
  test(`aborted: ${wait}`, async () => {
    // Several times, for it is a race; the very next statement begins another login.
    for (const delay of [0, 1, 20, 100]) {
      const [session, controller, reason] = [nobody(), new AbortController(), new Error('enough')];
      const running = call(session, controller.signal);
      const checked = assert.rejects(running, (error) => error === reason || error instanceof ConfigError);
      await passed(delay);
      const begin = performance.now();
      controller.abort(reason);
      await checked;
      assert(performance.now() - begin < 500, 'not at once');
      await isFree(session);
    }
    assert.equal(await isListening(CALLBACK_PORT), false);
  });
}

test('aborted before: nothing starts', async () => {
  const [session, reason] = [nobody(), new Error('never mind')];
  const signal = AbortSignal.abort(reason);
  const asked = JSON.stringify(await waiting.stats());
  const callback = () => assert.fail('was called');
  for (const call of [
    () => session.login({ flow: 'pkce', signal, onEvent: callback, openBrowser: callback }),
    () => session.login({ flow: 'paste', signal }),
    () => session.beginLogin({ signal }),
    () => flyteAuth.login({ endpoint: waiting.http, signal }),
  ]) {
    await assert.rejects(call(), (error) => error === reason);
  }
  assert.equal(JSON.stringify(await waiting.stats()), asked);
  const pending = await session.beginLogin({ flow: 'pkce', noBrowser: true });
  await assert.rejects(pending.finish({ signal }), (error) => error === reason);
  // But what was begun ends.
  await assert.rejects(pending.finish(), { reason: 'login_over' });
  await isFree(session);
});

test("another program's login is under way", async () => {
  const file = { store: 'file' };
  const pending = await nobody(file).beginLogin({ flow: 'pkce', noBrowser: true });
  await assert.rejects(nobody(file).beginLogin({ flow: 'device' }), {
    name: 'LoginRequiredError',
    reason: 'login_under_way',
  });
  // `login` waits for it, and an abort ends that.
  const controller = new AbortController();
  const other = nobody(file).login({ flow: 'device', timeout, onEvent: () => {}, signal: controller.signal });
  await passed(100);
  controller.abort();
  await assert.rejects(other, { name: 'AbortError' });
  pending.cancel();
  await isFree(nobody(file));
});

test('two logins share one', async () => {
  const file = { store: 'file' };
  const [one, other] = [alice(file), alice(file)];
  const pending = await one.beginLogin({ flow: 'device' });
  const [first, second] = await Promise.all([
    pending.finish(),
    other.login({ flow: 'device', timeout, onEvent: () => {} }),
  ]);
  assert.deepEqual([first.shared, second.shared], [false, true]);
  assert.equal((await other.token()).value, (await one.token()).value);
  await one.logout();
});

test('a pending login that nobody keeps is let go, and one that is awaited is kept', async () => {
  const source = `
    import assert from 'node:assert/strict';
    import { setTimeout as passed } from 'node:timers/promises';
    import { Session } from 'flyte-auth';
    const session = Session.forEndpoint(process.argv[1]);
    const begun = async () => (await session.beginLogin({ flow: 'pkce', noBrowser: true, timeout: 20_000 }));
    const collected = async () => { for (let i = 0; i < 5; i += 1) { await passed(10); gc(); } };
    const awaited = (await begun()).finish({ timeout: 1000 }).catch((error) => error);
    await collected();
    const error = await awaited;
    assert.equal(error.reason, 'login_timeout');
    await begun();
    await collected();
    (await begun()).cancel();
    console.log('ok');
  `;
  const own = new Home();
  const argv = ['--expose-gc', '--input-type=module', '--eval', source, waiting.http];
  const options = { env: own.env(), cwd: new URL('.', import.meta.url), timeout: 30_000 };
  const { stdout } = await promisify(execFile)(process.execPath, argv, options);
  assert.equal(stdout, 'ok\n');
  own.remove();
});

test('what a login holds ends with it: nothing keeps the process alive', async () => {
  const source = `
    import { Session } from 'flyte-auth';
    const session = Session.forEndpoint(process.argv[1]);
    const controller = new AbortController();
    const paste = ({ signal }) => new Promise((_, no) => signal.addEventListener('abort', no));
    setTimeout(() => controller.abort(), 200);
    await session.login({ flow: 'paste', signal: controller.signal, paste }).catch(() => {});
    await session.beginLogin({ flow: 'device' });
  `;
  const own = new Home();
  const begin = performance.now();
  const options = { env: own.env(), cwd: new URL('.', import.meta.url), timeout: 20_000 };
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', source, waiting.http], options);
  assert(performance.now() - begin < 10_000);
  own.remove();
});

test('wrong arguments and closed sessions hold nothing', async () => {
  const session = nobody();
  await assert.rejects(session.login({ flow: 'carrier-pigeon', onEvent: () => {} }), { reason: 'flow_invalid' });
  await assert.rejects(session.beginLogin({ flow: 'carrier-pigeon' }), { reason: 'flow_invalid' });
  const closed = nobody();
  closed.close();
  await assert.rejects(closed.login({ onEvent: () => {} }), { reason: 'session_closed' });
  await assert.rejects(Session.forEndpoint(server.http, MACHINE).login({ onEvent: () => {} }), { reason: 'no_person' });
  await isFree(session);
});

// For Node 20.
function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
