// `flyte-auth/testing`: what users test their own programs with.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { inspect } from 'node:util';

import {
  AccessDeniedError,
  ConfigError,
  LoginCancelledError,
  LoginRequiredError,
  NetworkError,
  ServerError,
  Verifier,
} from 'flyte-auth';
import { Sandbox, sandbox } from 'flyte-auth/testing';
import { decodeProtectedHeader } from 'jose';

import { Home, movesIn } from './harness/home.mjs';
import { isListening } from './harness/ports.mjs';
import { ALICE } from './harness/sandbox.mjs';

movesIn();
const port = (address) => Number(new URL(address).port);

/** A sandbox for one test. */
async function during(t, options) {
  const server = await sandbox(options);
  t.after(() => server.close());
  return server;
}

test('it is all there, and ends', async (t) => {
  const server = await during(t);
  assert(server instanceof Sandbox);
  assert.match(server.http, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual([server.https, server.caCert], [null, null]);
  assert.equal(server.endpoint, server.http);
  assert.equal(server.issuer, server.http);
  assert.match(server.grpc, /^127\.0\.0\.1:\d+$/);
  assert(server.users.includes(ALICE));
  assert.deepEqual(
    server.clients.map(({ id, secret }) => [id, secret !== undefined]),
    [
      ['flytectl', false],
      ['flytepropeller', true],
    ],
  );
  assert(server.clients[0].redirectUris.includes('http://localhost:53593/callback'));
  const session = server.session();
  assert.equal((await session.whoami()).subject, 'flytepropeller');
  assert.equal((await session.status()).store, 'memory');
  assert.deepEqual((await server.stats()).grants, { client_credentials: 1 });
  const begin = performance.now();
  await server.close();
  await server.close();
  assert(performance.now() - begin < 2000);
  assert.equal(await isListening(port(server.http)), false);
});

test('await using ends it', async () => {
  const server = await sandbox();
  await server[Symbol.asyncDispose]();
  assert.equal(await isListening(port(server.http)), false);
  assert.equal(server[Symbol.dispose], undefined, 'its end is waited for');
});

test('TLS has a CA of its own', async (t) => {
  const server = await during(t, { tls: true });
  assert.equal(server.endpoint, server.https);
  assert(existsSync(server.caCert));
  assert.equal((await server.session().whoami()).subject, 'flytepropeller');
  const other = await during(t, { tls: true });
  await assert.rejects(server.session({ caCert: other.caCert }).token(), NetworkError);
});

test('one generation alone', async (t) => {
  for (const generation of ['1', '2']) {
    const session = (await during(t, { generation })).session();
    await session.token();
    assert.equal((await session.status()).generation, generation);
  }
});

test('tokens live as long as was said', async (t) => {
  const server = await during(t, { accessTokenLifetime: 90_000 });
  const left = (await server.session().token()).expiresAt - Date.now();
  assert(80_000 < left && left <= 90_000, `${left}`);
});

for (const [tls, flow] of [
  [false, 'pkce'],
  [true, 'pkce'],
  [true, 'device'],
]) {
  test(`a person signs in without anybody: ${flow}${tls ? ' with TLS' : ''}`, async (t) => {
    const server = await during(t, { tls, autoApprove: ALICE });
    const session = server.session({ authType: 'Pkce' });
    assert.equal((await server.signIn(session, flow)).hasAuth, true);
    assert.equal((await session.whoami()).email, ALICE);
  });
}

test('nobody signs in who would be asked', { timeout: 60_000 }, async (t) => {
  const server = await during(t);
  await assert.rejects(server.signIn(server.session({ authType: 'Pkce' })), LoginCancelledError);
  await assert.rejects(server.signIn({}), /^TypeError: session must be a Session, not an object/);
});

test('refresh tokens end as was said', async (t) => {
  const server = await during(t, { autoApprove: ALICE, rotateRefreshTokens: true, refreshTokenLifetime: 60_000 });
  const session = server.session({ authType: 'Pkce' });
  await server.signIn(session);
  await server.clock(3600_000);
  session.invalidate();
  await assert.rejects(session.token(), LoginRequiredError);
});

test('faults, clock and keys', async (t) => {
  const server = await during(t);
  await server.fault('503', { count: 99, path: '/oauth2/token' });
  await assert.rejects(server.session().token(), ServerError);
  await server.fault('503', { count: 0, path: '/oauth2/token' });
  const verifier = new Verifier({ issuer: server.issuer, anyAudience: true });
  const token = await server.session().token();
  assert.equal((await verifier.verify(token.value)).subject, 'flytepropeller');
  await server.rotateKeys();
  const other = await server.session().token();
  assert.notEqual(decodeProtectedHeader(token.value).kid, decodeProtectedHeader(other.value).kid);
  const me = async () =>
    (await fetch(`${server.http}/me`, { headers: { [token.headerName]: token.headerValue } })).status;
  assert.equal(await me(), 200);
  await server.clock(7200_000);
  assert.equal(await me(), 401);
  await assert.rejects(server.clock(NaN), TypeError);
  await assert.rejects(server.fault('no such fault'), /answered 4/);
});

test('clients of your own', async (t) => {
  const own = { id: 'robot', secret: 'made-up-for-a-test', redirectUris: ['http://localhost:1/callback'] };
  const server = await during(t, { clients: [own, { id: 'public' }] });
  assert.deepEqual(
    server.clients.find(({ id }) => id === 'robot'),
    own,
  );
  assert(!('secret' in server.clients.find(({ id }) => id === 'public')));
  const session = server.session({ authType: 'ClientSecret', clientId: own.id, clientSecret: own.secret });
  assert.equal((await session.whoami()).subject, 'robot');
});

test('tokens of another issuer, and two beside each other', async (t) => {
  const [issuer, other] = await Promise.all([during(t), during(t)]);
  assert.equal(new Set([issuer.http, other.http, issuer.grpc, other.grpc]).size, 4);
  const token = await issuer.session().token();
  const verifier = new Verifier({ issuer: other.issuer, anyAudience: true });
  await assert.rejects(verifier.verify(token.value), AccessDeniedError);
  const server = await during(t, { externalIssuer: issuer.issuer });
  assert((await issuer.session({ endpoint: server.http }).token()).value);
});

test('one that does not start says why in one line', async () => {
  for (const [options, says] of [
    [{ generation: '3' }, '--generation'],
    [{ accessTokenLifetime: -1000 }, '--access-token-lifetime'],
    [{ clients: [{ id: 'a', secret: 'b,c' }] }, '--client'],
    [{ readyWithin: 1 }, 'readyWithin'],
  ]) {
    await assert.rejects(sandbox(options), (error) => {
      assert(error instanceof ConfigError && error.reason === 'sandbox_failed', inspect(error));
      assert(error.message.includes(says) && !error.message.includes('\n'), error.message);
      return true;
    });
  }
});

test('it ends with the process, which it does not keep alive', async () => {
  const source = `
    import { sandbox } from 'flyte-auth/testing';
    const server = await sandbox();
    console.log(server.http);
    if (process.argv[1] === 'waits') setTimeout(() => {}, 60_000);
  `;
  const home = new Home();
  for (const how of ['ends', 'waits']) {
    const argv = ['--input-type=module', '--eval', source, how];
    const options = { env: home.env(), cwd: new URL('.', import.meta.url), stdio: ['ignore', 'pipe', 'inherit'] };
    const program = spawn(process.execPath, argv, options);
    const ended = once(program, 'exit');
    const { value: http } = await createInterface({ input: program.stdout })[Symbol.asyncIterator]().next();
    if (how === 'waits') program.kill('SIGKILL');
    await ended;
    const until = Date.now() + 10_000;
    while (await isListening(port(http))) {
      assert(Date.now() < until, 'it goes on');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  home.remove();
});

test('a proxy of the environment does not come between', async (t) => {
  Object.assign(process.env, { http_proxy: 'http://127.0.0.1:1', HTTP_PROXY: 'http://127.0.0.1:1' });
  t.after(() => ['http_proxy', 'HTTP_PROXY'].forEach((name) => delete process.env[name]));
  const server = await during(t);
  await server.clock(1000);
  assert.equal((await server.stats()).tokens_issued, 0);
});
