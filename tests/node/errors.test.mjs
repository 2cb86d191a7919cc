// The error table: each kind provoked for real, its class and its members.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inspect, promisify } from 'node:util';

import {
  AccessDeniedError,
  ConfigError,
  FlyteAuthError,
  InternalError,
  LoginCancelledError,
  LoginRequiredError,
  NetworkError,
  ServerError,
  Session,
  TokenStoreError,
  Verifier,
} from 'flyte-auth';

import { Home, movesIn } from './harness/home.mjs';
import { closedPort } from './harness/ports.mjs';
import { ALICE, MACHINE, Sandbox } from './harness/sandbox.mjs';

const home = movesIn();
const KINDS = {
  config: ConfigError,
  network: NetworkError,
  server: ServerError,
  login_required: LoginRequiredError,
  denied: AccessDeniedError,
  cancelled: LoginCancelledError,
  store: TokenStoreError,
  internal: InternalError,
};
let server;
before(async () => (server = await Sandbox.start('--auto-approve', ALICE)));
after(() => server.stop());

/** The error that `work()` fails with; fails unless it is of that class and has all that every error has. */
async function fails(work, type, reason, { retryable = false } = {}) {
  let error;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  assert(error, 'it did not fail');
  assert.equal(error.constructor, type, inspect(error));
  assert(error instanceof FlyteAuthError && error instanceof Error);
  assert.equal(error.reason, reason, inspect(error));
  assert.equal(error.retryable, retryable, inspect(error));
  assert.equal(KINDS[error.kind], type);
  assert.match(error.code, /^FLYTE_AUTH_[A-Z_]+$/);
  assert.match(error.reason, /^[a-z][a-z0-9_]*$/);
  assert.equal(error.name, type.name);
  assert(!error.message.includes('\n') && !error.message.includes('flyte-auth:{'), error.message);
  assert(error.what && error.message.includes(error.what));
  assert(error.nextStep && error.message.includes(error.nextStep.replace(/\.$/, '')), 'it does not say what to do');
  assert(error.stack.startsWith(`${type.name}: ${error.message}\n    at `), error.stack);
  assert(!inspect(error, { depth: 9, showHidden: true }).includes('foobar'));
  for (const name of ['endpoint', 'setting', 'oauthError', 'oauthErrorDescription']) {
    assert(error[name] === null || typeof error[name] === 'string', name);
  }
  assert(error.retryAfter === null || error.retryAfter > 0);
  for (let cause = error.cause; cause !== undefined; cause = cause.cause) {
    assert(cause instanceof Error && cause.message, inspect(cause));
  }
  return error;
}

const machine = (options = {}) => Session.forEndpoint(server.http, { ...MACHINE, store: 'memory', ...options });
const person = (options = {}) => Session.forEndpoint(server.http, { store: 'memory', ...options });

test("the classes are the table's", () => {
  for (const [kind, type] of Object.entries(KINDS)) {
    assert.equal(Object.getPrototypeOf(type), FlyteAuthError);
    // What users make in their own tests.
    const made = new type('made up', { cause: 'x' });
    assert.equal(made.kind, kind);
    assert.equal(made.name, type.name);
    assert.equal(String(made), `${type.name}: made up`);
    assert.equal(made.retryable, kind === 'network');
    assert.equal(made.cause, 'x');
    assert.equal(made.nextStep, null);
    assert(!('cause' in new type('made up')));
  }
  // As the core's own table has them (core/src/error.rs).
  const source = readFileSync(new URL('../../core/src/error.rs', import.meta.url), 'utf8');
  const rows = [...source.matchAll(/row\(ErrorKind::\w+, "(\w+)", "(\w+)", \d, (\w+)\)/g)];
  assert.equal(rows.length, 8);
  for (const [, kind, code, retryable] of rows) {
    const made = new KINDS[kind]('x');
    assert.deepEqual([made.code, made.retryable], [code, retryable === 'true'], kind);
  }
  class Mine extends ConfigError {}
  assert.equal(new Mine('x').code, 'FLYTE_AUTH_CONFIG');
});

test('nobody listens', async () => {
  const address = `127.0.0.1:${await closedPort()}`;
  const session = Session.forEndpoint(`http://${address}`, MACHINE);
  const error = await fails(() => session.token(), NetworkError, 'connection_refused', { retryable: true });
  assert.equal(error.endpoint, address);
  const causes = [];
  for (let cause = error.cause; cause; cause = cause.cause) causes.push(cause.message);
  assert.match(causes.join(), /refused/i);
  await fails(() => session.headers(), NetworkError, 'connection_refused', { retryable: true });
});

test('where it was awaited is in the stack', async () => {
  async function mine() {
    return await Session.forEndpoint(`http://127.0.0.1:${await closedPort()}`, MACHINE).token();
  }
  assert.match((await fails(mine, NetworkError, 'connection_refused', { retryable: true })).stack, /at async mine/);
});

/** `work()` while requests for tokens go wrong. */
async function faulty(kind, work) {
  await server.fault(kind, 99, { path: '/oauth2/token' });
  try {
    return await work();
  } finally {
    await server.clearFaults();
  }
}

test('a web page in place of an answer', async () => {
  const failing = () => fails(() => machine().token(), ServerError, 'html', { retryable: true });
  const error = await faulty('html', failing);
  assert.equal(error.endpoint, `${server.http}/oauth2/token`);
});

test('a server that asks for time', async () => {
  for (const [status, reason] of [
    ['503', 'unavailable'],
    ['429', 'too_many_requests'],
  ]) {
    const failing = () => fails(() => machine().token(), ServerError, reason, { retryable: true });
    // Its header says one second, in milliseconds as all durations here.
    assert.equal((await faulty(status, failing)).retryAfter, 1000);
  }
});

test('a wrong secret', async () => {
  const session = machine({ clientSecret: 'not-the-secret' });
  const error = await fails(() => session.token(), AccessDeniedError, 'invalid_client');
  assert.equal(error.oauthError, 'invalid_client');
  assert(!inspect(error).includes('not-the-secret'));
});

test('nobody is signed in', async () => {
  const error = await fails(() => person().token(), LoginRequiredError, 'not_signed_in');
  assert(error.endpoint);
  assert.match(error.nextStep, /login/);
});

test('the session has ended', async () => {
  const session = person();
  await session.login({ flow: 'device', timeout: 30_000, onEvent: () => {} });
  await server.clock(7 * 86_400);
  session.invalidate();
  try {
    const error = await fails(() => session.token(), LoginRequiredError, 'invalid_grant');
    assert.equal(error.oauthError, 'invalid_grant');
  } finally {
    await server.clock(0);
  }
});

test('nobody comes', async () => {
  const other = await Sandbox.start();
  try {
    const session = Session.forEndpoint(other.http, { store: 'memory' });
    const begin = performance.now();
    await fails(
      () => session.login({ flow: 'device', timeout: 300, onEvent: () => {} }),
      LoginCancelledError,
      'login_timeout',
    );
    // A shorter wait than the login's own.
    const pending = await session.beginLogin({ flow: 'device' });
    await fails(() => pending.finish({ timeout: 200 }), LoginCancelledError, 'login_timeout');
    assert(performance.now() - begin < 5000);
  } finally {
    await other.stop();
  }
});

test('a login of a machine', async () => {
  for (const work of [
    () => machine().beginLogin(),
    () => machine().login(),
    () => machine().login({ onEvent: () => {} }),
  ]) {
    await fails(work, ConfigError, 'no_person');
  }
});

test('durations that are none', async () => {
  for (const timeout of [0, -1, NaN, Infinity, 1e300]) {
    for (const work of [() => person().login({ timeout }), () => person().beginLogin({ timeout })]) {
      assert.equal((await fails(work, ConfigError, 'duration_invalid')).setting, 'timeout');
    }
  }
});

/** A record in the file store, and a session that has not read it. */
async function stored() {
  const options = { ...MACHINE, store: 'file' };
  await Session.forEndpoint(server.http, options).token();
  const folder = join(home.path, 'state/sessions');
  const [name] = readdirSync(folder).filter((each) => each.endsWith('.json'));
  return [join(folder, name), Session.forEndpoint(server.http, options)];
}

test('a store that is newer', async () => {
  const [record, session] = await stored();
  const newer = JSON.stringify({ schema_version: 99, session: 'in a form to come' });
  writeFileSync(record, newer);
  const error = await fails(() => session.token(), TokenStoreError, 'store_newer');
  assert(error.message.includes(record));
  await fails(() => session.status(), TokenStoreError, 'store_newer');
  assert.equal(readFileSync(record, 'utf8'), newer, 'it is left as it is');
  rmSync(record);
});

test('a store that cannot be read', async () => {
  const [record, session] = await stored();
  rmSync(record);
  mkdirSync(record);
  const error = await session.token().catch((caught) => caught);
  await fails(() => session.token(), TokenStoreError, error.reason);
  rmSync(record, { recursive: true });
});

test('a store behind a link', async () => {
  const [record, session] = await stored();
  renameSync(record, join(home.path, 'elsewhere'));
  symlinkSync(join(home.path, 'elsewhere'), record);
  const error = await session.token().catch((caught) => caught);
  assert(error instanceof TokenStoreError && error.message.includes('symbolic link'), inspect(error));
  rmSync(record);
});

test('configurations that are none', async () => {
  const missing = join(home.path, 'missing.yaml');
  const error = await fails(() => Session.fromConfig({ config: missing }), ConfigError, 'config_unreadable');
  assert(error.message.includes(missing));
  assert.equal(error.setting, 'config');
  assert.equal((await fails(() => Session.fromConfig(), ConfigError, 'endpoint_missing')).setting, 'endpoint');
  const path = join(home.path, 'config.yaml');
  for (const text of ['admin:\n\tendpoint: x\n', 'admin: [', 'admin:\n  insecure: perhaps\n', '\x00\x01']) {
    writeFileSync(path, text);
    const caught = await Promise.resolve()
      .then(() => Session.fromConfig({ config: path }))
      .catch((each) => each);
    assert(caught instanceof ConfigError && caught.message.includes(path), inspect(caught));
  }
  writeFileSync(path, `admin:\n  endpoint: ${server.http}\nprofiles:\n  prod:\n    admin:\n      clientId: other\n`);
  Session.fromConfig({ config: path, profile: 'prod' });
  const unknown = await fails(() => Session.fromConfig({ config: path, profile: 'x' }), ConfigError, 'profile_unknown');
  assert.equal(unknown.setting, 'profile');
});

test('options are named as they are written here', async () => {
  const wrong = {
    endpoint: 'grpc://flyte.example.org',
    store: 'cellar',
    interactive: 'sometimes',
    authType: 'handshake',
    caCert: '/nowhere/ca.pem',
    httpProxyUrl: 'no address',
    issuer: 'ftp://x',
  };
  for (const [name, value] of Object.entries(wrong)) {
    const caught = await Promise.resolve()
      .then(() => new Session({ endpoint: server.http, [name]: value }))
      .catch((each) => each);
    assert(caught instanceof ConfigError, `${name}: ${inspect(caught)}`);
    assert.equal(caught.setting, name);
    assert(!caught.message.includes('--'), caught.message);
  }
});

test('a verifier and what it refuses', async () => {
  await fails(() => new Verifier({ issuer: server.issuer }), ConfigError, 'audience_missing');
  const verifier = new Verifier({ issuer: server.issuer, anyAudience: true });
  await fails(() => verifier.verify('made-up'), AccessDeniedError, 'token_malformed');
  const nobody = `http://127.0.0.1:${await closedPort()}`;
  const { value } = await machine().token();
  const lost = new Verifier({ issuer: nobody, anyAudience: true });
  const error = await lost.verify(value).catch((caught) => caught);
  assert(error instanceof NetworkError || error instanceof AccessDeniedError, inspect(error));
});

test('a server that is no Flyte', async () => {
  const other = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const session = Session.forEndpoint(`http://127.0.0.1:${other.address().port}`, { store: 'memory' });
  try {
    // An endpoint without auth, or what is missing; never a hang.
    assert.equal(await session.token(), null);
  } catch (error) {
    assert(error instanceof FlyteAuthError && error.nextStep, inspect(error));
  } finally {
    other.close();
  }
});

test('a bug of ours', async () => {
  const own = new Home();
  const source = `
    import { InternalError, Session } from 'flyte-auth';
    const session = Session.forEndpoint(process.argv[1], { authType: 'ClientSecret', store: 'memory' });
    await session.token().catch(({ constructor, kind, message }) => {
      console.log(JSON.stringify({ ours: constructor === InternalError, kind, message }));
    });
  `;
  const env = own.env({
    FLYTE_AUTH_CLIENT_ID: 'flytepropeller',
    FLYTE_AUTH_CLIENT_SECRET: 'foobar',
    FLYTE_AUTH_TESTING_PANIC: 'exchange.before',
  });
  const argv = ['--input-type=module', '--eval', source, server.http];
  const cwd = new URL('.', import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, argv, { env, cwd, timeout: 30_000 });
  const told = JSON.parse(stdout);
  assert.equal(told.ours, true, stdout);
  assert.equal(told.kind, 'internal');
  assert(!told.message.includes('foobar'));
  own.remove();
});
