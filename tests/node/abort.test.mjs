// An `AbortSignal` ends every wait at once with its reason, whatever the other side does, and nothing of it stays. The waits
// of a login, with what they hold, are in login.test.mjs.
import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { beginLogin, NetworkError, Session, Verifier } from 'flyte-auth';

import { movesIn } from './harness/home.mjs';
import { CALLBACK_PORT, closedPort, isListening } from './harness/ports.mjs';
import { ALICE, MACHINE, Sandbox } from './harness/sandbox.mjs';

movesIn();
// Milliseconds: what "at once" means while the machine may be busy with other tests.
const AT_ONCE = 100;
const DEADLINE = { timeout: 60_000 };

let server;
/** Takes every connection and says nothing: `arrived()` resolves with the next one. */
const silent = createServer();
const held = new Set();
const arrived = () => once(silent, 'connection');
before(async () => {
  server = await Sandbox.start('--auto-approve', ALICE, '--rotate-refresh-tokens');
  silent.on('connection', (socket) => held.add(socket.on('error', () => {})));
  await once(silent.listen(0, '127.0.0.1'), 'listening');
});
after(async () => {
  for (const socket of held) socket.destroy();
  silent.close();
  await server.stop();
});

const silence = () => `http://127.0.0.1:${silent.address().port}`;
const quiet = (options = {}) => Session.forEndpoint(silence(), { store: 'memory', ...options });
const machine = () => Session.forEndpoint(server.http, { store: 'memory', ...MACHINE });
const verifier = () =>
  new Verifier({ issuer: 'https://idp.example', audience: 'a', jwksUri: `${silence()}/jwks`, plaintext: true });

/** A well-formed token that no key is known for: whoever looks at it needs the server's keys. */
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const unknown = (typ, claims = {}) => {
  const now = Math.floor(Date.now() / 1000);
  const body = { iss: 'https://idp.example', sub: 's', aud: 'a', client_id: 'a', iat: now, exp: now + 600, ...claims };
  return [part({ alg: 'RS256', typ, kid: 'k' }), part(body), Buffer.alloc(256).toString('base64url')].join('.');
};
const LOGOUT = { sid: 's', jti: 'j', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } };

/** Every wait for a server besides a login's: each is called with options, and its server says nothing. */
const WAITS = {
  token: (options) => quiet().token(options),
  'token of a machine': (options) => quiet(MACHINE).token(options),
  headers: (options) => quiet().headers(options),
  whoami: (options) => quiet(MACHINE).whoami(options),
  beginLogin: (options) => quiet().beginLogin({ flow: 'pkce', noBrowser: true, ...options }),
  'beginLogin in one call': (options) =>
    beginLogin({ endpoint: silence(), store: 'memory', flow: 'device', ...options }),
  login: (options) => quiet().login({ flow: 'device', onEvent: () => {}, ...options }),
  verify: (options) => verifier().verify(unknown('at+jwt'), options),
  verifyIdToken: (options) => verifier().verifyIdToken(unknown('JWT'), { clientId: 'a', ...options }),
  verifyLogoutToken: (options) =>
    verifier().verifyLogoutToken(unknown('logout+jwt', LOGOUT), { clientId: 'a', ...options }),
};

describe('a server that says nothing', DEADLINE, () => {
  for (const [name, wait] of Object.entries(WAITS)) {
    test(name, async (t) => {
      for (const reason of [new Error('enough'), 'a text', null]) {
        const [aborting, connected] = [new AbortController(), arrived()];
        const running = wait({ signal: aborting.signal });
        const settled = running.then(
          () => assert.fail('it gave something'),
          (error) => error,
        );
        await connected;
        assert.equal(getEventListeners(aborting.signal, 'abort').length, 1);
        const begin = performance.now();
        aborting.abort(reason);
        assert.equal(await settled, reason);
        const took = performance.now() - begin;
        assert(took < AT_ONCE, `it took ${took} ms`);
        t.diagnostic(`${took.toFixed(2)} ms`);
        assert.deepEqual(getEventListeners(aborting.signal, 'abort'), []);
      }
      assert.equal(await isListening(CALLBACK_PORT), false);
    });

    test(`${name}: aborted before, nothing is asked`, async () => {
      const came = silent.listeners('connection').length;
      const count = held.size;
      const reason = new Error('never mind');
      await assert.rejects(wait({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
      assert.deepEqual([held.size, silent.listeners('connection').length], [count, came]);
    });

    test(`${name}: with AbortSignal.timeout`, async () => {
      await assert.rejects(wait({ signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' });
    });
  }
});

describe('a session', DEADLINE, () => {
  const signIn = async () => {
    const session = Session.forEndpoint(server.http, { store: 'memory', account: ALICE });
    const login = await session.beginLogin({ flow: 'pkce', noBrowser: true });
    const finished = login.finish();
    await (await fetch(login.url)).text();
    await finished;
    return session;
  };

  test('that revokes at a slow server: the wait ends, the local copy is gone', async () => {
    const session = await signIn();
    const before = await server.requestsTo('/revoke');
    await server.fault('delay-3000', 4, { path: '/oauth2/revoke' });
    const aborting = new AbortController();
    const running = session.logout({ revoke: true, signal: aborting.signal });
    const settled = running.catch((error) => error);
    await server.served('/revoke', before + 1);
    const begin = performance.now();
    aborting.abort(new Error('enough'));
    assert.equal((await settled).message, 'enough');
    assert(performance.now() - begin < AT_ONCE);
    assert.deepEqual(getEventListeners(aborting.signal, 'abort'), []);
    await server.clearFaults();
    assert.equal((await session.status()).signedIn, false);
  });

  test("that is aborted in `status()`: the signal's reason or the status, and the session goes on", async () => {
    const session = await signIn();
    for (let round = 0; round < 50; round += 1) {
      const [aborting, reason] = [new AbortController(), new Error('enough')];
      const running = session.status({ signal: aborting.signal });
      const settled = running.catch((error) => error);
      aborting.abort(reason);
      assert.equal(await settled, reason);
      assert.deepEqual(getEventListeners(aborting.signal, 'abort'), []);
    }
    assert.equal((await session.status()).signedIn, true);
  });

  test('whose refresh two wait for: who aborts is let go, the other gets the token of that one refresh', async () => {
    const session = machine();
    const before = await server.requestsTo('/oauth2/token');
    await server.fault('delay-500', 1, { path: '/oauth2/token' });
    const aborting = new AbortController();
    const gone = session.token({ signal: aborting.signal }).catch((error) => error);
    const stays = session.token();
    await server.served('/oauth2/token', before + 1);
    aborting.abort(new Error('enough'));
    assert.equal((await gone).message, 'enough');
    assert.equal((await stays).headerName, 'authorization');
    assert.equal((await server.requestsTo('/oauth2/token')) - before, 1);
  });

  test('whose only wait is aborted: the refresh goes on, and its token is there', async () => {
    const session = machine();
    const before = await server.requestsTo('/oauth2/token');
    await server.fault('delay-200', 1, { path: '/oauth2/token' });
    const aborting = new AbortController();
    const gone = session.token({ signal: aborting.signal }).catch((error) => error);
    await server.served('/oauth2/token', before + 1);
    aborting.abort();
    assert.equal((await gone).name, 'AbortError');
    assert.equal((await session.token()).headerName, 'authorization');
    assert.equal((await server.requestsTo('/oauth2/token')) - before, 1);
  });

  test('with a token in memory gives none to a signal that is aborted', async () => {
    const session = machine();
    await session.token();
    const reason = new Error('never mind');
    for (const wait of ['token', 'headers', 'status', 'whoami', 'logout']) {
      await assert.rejects(session[wait]({ signal: AbortSignal.abort(reason) }), (error) => error === reason, wait);
    }
    assert.notEqual(session.tryToken(), null);
  });
});

describe('one signal for many waits', DEADLINE, () => {
  test('keeps no listener of those that ended, well or not', async () => {
    const { signal } = new AbortController();
    const session = machine();
    for (let round = 0; round < 20; round += 1) {
      await session.token({ signal });
      await session.headers({ signal });
      await session.status({ signal });
      await session.whoami({ signal });
    }
    const closed = Session.forEndpoint(`http://127.0.0.1:${await closedPort()}`, { store: 'memory' });
    await assert.rejects(closed.token({ signal }), NetworkError);
    await assert.rejects(closed.beginLogin({ signal }), NetworkError);
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });

  test('ends them all', async () => {
    const aborting = new AbortController();
    const reason = new Error('enough');
    const session = quiet();
    const waits = Array.from({ length: 200 }, () => session.token({ signal: aborting.signal }).catch((error) => error));
    await arrived();
    aborting.abort(reason);
    assert.deepEqual(new Set(await Promise.all(waits)), new Set([reason]));
    assert.deepEqual(getEventListeners(aborting.signal, 'abort'), []);
  });
});
