// The public surface: the contract's names, what each call gives, masked secrets, `using`, a light import.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { format, inspect } from 'node:util';
import { Worker } from 'node:worker_threads';

import * as grpc from '@grpc/grpc-js';
import * as flyteAuth from 'flyte-auth';
import { ConfigError, PendingLogin, Session, Token } from 'flyte-auth';

import { movesIn } from './harness/home.mjs';
import { ALICE, MACHINE, Sandbox } from './harness/sandbox.mjs';

const require = createRequire(import.meta.url);
const home = movesIn();
let server;
before(async () => (server = await Sandbox.start('--auto-approve', ALICE)));
after(() => server.stop());

/** A session that needs nobody. */
const machine = () => Session.forEndpoint(server.http, { ...MACHINE, store: 'memory' });

test("the contract's names are there", () => {
  assert.deepEqual(Object.keys(flyteAuth).sort(), [
    'AccessDeniedError',
    'ConfigError',
    'FlyteAuthError',
    'InternalError',
    'LoginCancelledError',
    'LoginEvent',
    'LoginRequiredError',
    'NetworkError',
    'PendingLogin',
    'ServerError',
    'Session',
    'Token',
    'TokenStoreError',
    'VerifiedToken',
    'Verifier',
    'beginLogin',
    'login',
  ]);
  for (const name of ['token', 'headers', 'login', 'beginLogin', 'logout', 'status', 'whoami']) {
    assert.equal(typeof Session.prototype[name], 'function');
  }
});

test('there is one set of classes for both kinds of modules', () => {
  const common = require('flyte-auth');
  assert.deepEqual({ ...common }, { ...flyteAuth });
  assert(common.Session.forEndpoint(server.http) instanceof Session);
});

test('a token', async () => {
  const session = machine();
  assert.equal(session.tryToken(), null);
  const token = await session.token();
  assert(token instanceof Token);
  const left = token.expiresAt.getTime() - Date.now();
  assert(60_000 < left && left <= 24 * 3600_000, `${left}`);
  assert.equal(token.headerValue, `Bearer ${token.value}`);
  assert.equal(token.headerName, token.headerName.toLowerCase());
  assert.equal(token.value.split('.').length, 3);
  assert.deepEqual(await session.headers(), { [token.headerName]: token.headerValue });
  assert.notEqual(await session.headers(), await session.headers(), 'callers may change theirs');
  assert.notEqual(token.expiresAt, token.expiresAt, 'callers may change theirs');
  assert.equal(await server.me(await session.headers()), 200);
  // One object as long as it is the token.
  assert.equal(session.tryToken(), token);
  assert.equal(await session.token(), token);
  session.invalidate(token);
  assert.equal(session.tryToken(), null);
  const other = await session.token();
  assert.notEqual(other, token);
  assert(!other.equals(token) && other.equals(other));
  // A late rejection of the older one starts nothing.
  session.invalidate(token);
  assert.equal(session.tryToken(), other);
  session.invalidate();
  assert.equal(session.tryToken(), null);
  assert.throws(() => (token.value = 'another'), TypeError);
  assert.throws(() => new Token().value, TypeError);
});

test('many at once are one request', async () => {
  const [session, before] = [machine(), (await server.stats()).tokens_issued];
  const tokens = await Promise.all(Array.from({ length: 50 }, () => session.token()));
  assert.equal(new Set(tokens).size, 1);
  assert.equal((await server.stats()).tokens_issued, before + 1);
});

test('no way of printing shows a secret', async () => {
  const session = machine();
  const token = await session.token();
  const verifier = new flyteAuth.Verifier({ issuer: server.issuer, anyAudience: true });
  const pending = await Session.forEndpoint(server.http).beginLogin({ flow: 'device' });
  const secrets = [token.value, 'foobar', pending.url, pending.userCode];
  for (const one of [token, session, verifier, pending, await verifier.verify(token.value), { token }, [session]]) {
    const texts = [
      String(one),
      `${one}`,
      inspect(one, { depth: 9, showHidden: true }),
      format('%s %o %j %O', one, one, one, one),
    ];
    for (const text of [
      ...texts,
      JSON.stringify(one),
      JSON.stringify({ one }),
      JSON.stringify(structuredClone({ ...one })),
    ]) {
      for (const secret of secrets) assert(!text.includes(secret), text);
    }
  }
  assert.match(`${token}`, /^Token\(\*\*\*, until 20.*Z\)$/);
  pending.cancel();
});

test('status and whoami', async () => {
  const session = machine();
  const before = await session.status();
  assert.equal(before.accessTokenExpiresAt, null);
  await session.token();
  const status = await session.status();
  assert.deepEqual(Object.keys(status).sort(), [
    'accessTokenExpiresAt',
    'account',
    'authType',
    'clientId',
    'configFile',
    'email',
    'endpoint',
    'generation',
    'hasRefreshToken',
    'issuer',
    'profile',
    'scopes',
    'sessionExpiresAt',
    'signedIn',
    'store',
    'storeLocation',
    'storeReason',
    'subject',
    'tokenSource',
  ]);
  assert.equal(status.signedIn, true);
  assert.equal(status.clientId, 'flytepropeller');
  assert.equal(status.store, 'memory');
  assert(status.accessTokenExpiresAt instanceof Date && status.accessTokenExpiresAt > new Date());
  assert(Array.isArray(status.scopes));
  assert.deepEqual(await session.whoami(), {
    subject: 'flytepropeller',
    name: null,
    email: null,
    preferredUsername: null,
  });
});

test('a logout', async () => {
  const session = machine();
  const none = await session.logout();
  assert.deepEqual(none, { wasSignedIn: false, revoked: null, copiesRemoved: [], problem: null });
  const person = Session.forEndpoint(server.http, { store: 'memory' });
  await person.login({ flow: 'device', onEvent: () => {} });
  const { revocations = 0 } = await server.stats();
  assert.equal(revocations, 0);
  const done = await person.logout({ revoke: true });
  assert.deepEqual(done, { wasSignedIn: true, revoked: true, copiesRemoved: [], problem: null });
  await assert.rejects(person.token(), { name: 'LoginRequiredError', reason: 'not_signed_in' });
  // The local copy is gone all the same.
  await person.login({ flow: 'device', onEvent: () => {} });
  await server.fault('503', 9, { path: '/oauth2/revoke' });
  const failed = await person.logout({ revoke: true });
  await server.clearFaults();
  assert.equal(failed.revoked, false);
  assert(failed.problem instanceof flyteAuth.ServerError && failed.wasSignedIn, inspect(failed));
});

test('a session that is closed', async () => {
  const session = machine();
  await session.token();
  session.close();
  session.close();
  assert.equal(session.tryToken(), null);
  for (const name of ['token', 'headers', 'login', 'beginLogin', 'logout', 'status', 'whoami']) {
    await assert.rejects(session[name](), { name: 'ConfigError', reason: 'session_closed' }, name);
  }
  await assert.rejects(session.login({ onEvent: () => {} }), { reason: 'session_closed' });
});

test('using', async () => {
  const closed = { name: 'ConfigError', reason: 'session_closed' };
  // The syntax comes with Node 24; what it calls is here.
  const [session, later] = [machine(), machine()];
  assert.equal(session[Symbol.dispose](), undefined);
  await assert.rejects(session.token(), closed);
  assert.equal(await later[Symbol.asyncDispose](), undefined);
  await assert.rejects(later.token(), closed);
  const pending = await Session.forEndpoint(server.http).beginLogin({ flow: 'device' });
  pending[Symbol.dispose]();
  await assert.rejects(pending.finish(), { reason: 'login_over' });
  if (Number(process.versions.node.split('.')[0]) >= 24) {
    const block = new Function('session', '{ using one = session; } ');
    const third = machine();
    block(third);
    await assert.rejects(third.token(), closed);
  }
});

test('every way to open is the same session', () => {
  const ways = [
    new Session({ endpoint: server.http }),
    Session.fromConfig({ endpoint: server.http }),
    Session.forEndpoint(server.http),
    Session.forEndpoint(server.http, {}),
    Session.forEndpoint(server.http, undefined),
  ];
  assert.equal(new Set(ways.map(({ endpoint }) => endpoint)).size, 1);
  for (const one of ways) assert.deepEqual(one.warnings, []);
});

test('a configuration file by path or URL, and what is unwise in it', async () => {
  const { writeFileSync } = await import('node:fs');
  const { pathToFileURL } = await import('node:url');
  const path = `${home.path}/a config.yaml`;
  writeFileSync(path, `admin:\n  endpoint: ${server.http}\n  nonsense: 1\n`);
  for (const config of [path, pathToFileURL(path)]) {
    const session = Session.fromConfig({ config });
    assert.equal(session.endpoint, server.http.replace('http://', ''));
    assert.equal(session.warnings.length, 1);
    assert.match(session.warnings[0], /nonsense/);
    assert.equal((await session.status()).configFile, path);
  }
});

test('the environment is read when a session is made', () => {
  process.env.FLYTE_AUTH_ENDPOINT = 'http://127.0.0.1:7';
  try {
    assert.equal(Session.fromConfig().endpoint, '127.0.0.1:7');
    assert.equal(Session.fromConfig({ endpoint: 'http://127.0.0.1:8' }).endpoint, '127.0.0.1:8');
  } finally {
    delete process.env.FLYTE_AUTH_ENDPOINT;
  }
  assert.throws(() => Session.fromConfig(), { name: 'ConfigError', reason: 'endpoint_missing' });
});

test('without auth there is no token', async () => {
  // A real gRPC server that has no service of Flyte's for metadata.
  const plain = new grpc.Server();
  const credentials = grpc.ServerCredentials.createInsecure();
  const port = await new Promise((resolve, reject) =>
    plain.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  try {
    const session = Session.forEndpoint(`127.0.0.1:${port}`, { insecure: true, store: 'memory' });
    assert.equal(await session.token(), null);
    assert.equal(session.tryToken(), null);
    assert.deepEqual(await session.headers(), {});
    assert.equal(await session.beginLogin(), null);
    assert.equal((await session.login({ onEvent: () => {} })).hasAuth, false);
    assert.equal((await session.status()).generation, 'none');
    assert.equal(session.invalidate(), undefined);
  } finally {
    plain.forceShutdown();
  }
});

test('a signal ends a wait at once, and its listener does not stay', async () => {
  const session = machine();
  const reason = new Error('enough');
  const calls = {
    token: () => session.token({ signal: controller.signal }),
    headers: () => session.headers({ signal: controller.signal }),
    whoami: () => session.whoami({ signal: controller.signal }),
    beginLogin: () => Session.forEndpoint(server.http).beginLogin({ signal: controller.signal }),
    logout: () => session.logout({ signal: controller.signal }),
    status: () => session.status({ signal: controller.signal }),
  };
  let controller;
  for (const [name, call] of Object.entries(calls)) {
    // Before: nothing starts.
    controller = new AbortController();
    controller.abort(reason);
    const asked = JSON.stringify(await server.stats());
    await assert.rejects(call(), (error) => error === reason, name);
    assert.equal(JSON.stringify(await server.stats()), asked, name);
  }
  await server.fault('delay-3000', 99);
  try {
    for (const name of ['token', 'headers', 'whoami', 'beginLogin']) {
      controller = new AbortController();
      const waiting = call(name);
      setTimeout(() => controller.abort(reason), 20);
      const begin = performance.now();
      await assert.rejects(waiting, (error) => error === reason, name);
      assert(performance.now() - begin < 1000, name);
    }
  } finally {
    await server.clearFaults();
  }
  function call(name) {
    return calls[name]();
  }
});

test('listeners of a signal that outlives the calls are taken away', async () => {
  const { signal } = new AbortController();
  const counts = { addEventListener: 0, removeEventListener: 0 };
  for (const name of Object.keys(counts)) {
    const real = signal[name].bind(signal);
    signal[name] = (...all) => {
      counts[name] += 1;
      return real(...all);
    };
  }
  const session = machine();
  await session.token({ signal });
  await session.whoami({ signal });
  await assert.rejects(Session.forEndpoint(server.http, { store: 'memory' }).token({ signal }));
  assert.equal(counts.addEventListener, 3);
  assert.equal(counts.removeEventListener, 3);
});

test('an aborted wait leaves the refresh to the others', async () => {
  const session = machine();
  const before = (await server.stats()).tokens_issued;
  await server.fault('delay-500', 1, { path: '/oauth2/token' });
  const controller = new AbortController();
  const aborted = assert.rejects(session.token({ signal: controller.signal }), { name: 'AbortError' });
  const patient = session.token();
  controller.abort();
  await aborted;
  assert((await patient).value);
  assert.equal((await server.stats()).tokens_issued, before + 1);
});

test('in a worker thread', async () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Session } = require(workerData.module);
    const session = Session.forEndpoint(workerData.http, workerData.options);
    session.token().then((token) => parentPort.postMessage({ expires: token.expiresAt }));
  `;
  const workerData = {
    module: require.resolve('flyte-auth'),
    http: server.http,
    options: { ...MACHINE, store: 'memory' },
  };
  const workers = [1, 2, 3].map(() => new Worker(source, { eval: true, workerData }));
  const told = workers.map(
    (worker) => new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject)),
  );
  for (const { expires } of await Promise.all(told)) assert(expires > new Date());
  const codes = await Promise.all(workers.map((worker) => worker.terminate()));
  assert.equal(codes.length, 3);
  assert((await machine().token()).value);
});

test('the import loads neither the native half nor what it plugs into', () => {
  const source = `
    const { Session } = require('flyte-auth');
    const loaded = Object.keys(require.cache);
    console.log(JSON.stringify({ loaded, shared: process.report.getReport().sharedObjects }));
  `;
  const { loaded, shared } = JSON.parse(
    execFileSync(process.execPath, ['-e', source], { cwd: new URL('.', import.meta.url) }),
  );
  const foreign = loaded.filter((path) => !path.includes('node_modules/flyte-auth/dist/'));
  assert.deepEqual(foreign, []);
  assert(
    !loaded.some((path) => /grpc|connect|fetch|express|fastify|web|testing|relying/.test(path.split('/dist/')[1])),
  );
  assert.deepEqual(
    shared.filter((path) => path.includes('flyte-auth')),
    [],
  );
});

test('a subpath that is none', async () => {
  await assert.rejects(import('flyte-auth/dist/token.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  assert.equal(require('flyte-auth/package.json').name, 'flyte-auth');
});

test('a pending login', async () => {
  const session = Session.forEndpoint(server.http, { store: 'memory' });
  const pending = await session.beginLogin({ flow: 'device', timeout: 60_000 });
  assert(pending instanceof PendingLogin && pending.userCode && pending.url.startsWith('http'));
  assert(pending.expiresAt > new Date());
  assert.equal(pending.endpoint, session.endpoint);
  pending.cancel();
  pending.cancel();
  await assert.rejects(pending.finish(), { name: 'LoginCancelledError', reason: 'login_over' });
  assert.throws(() => new ConfigError('x', { reason: 'mine' }).nonsense(), TypeError);
});
