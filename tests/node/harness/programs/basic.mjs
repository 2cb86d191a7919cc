// The basic suite, for whichever runtime runs this file: each line of its output is one check and how it went.
// `HTTP` is a sandbox that signs Alice in, `SECRET` the machine's secret there.
import assert from 'node:assert/strict';
import http from 'node:http';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

import * as flyteAuth from 'flyte-auth';

const { LoginRequiredError, ConfigError, Session, Verifier } = flyteAuth;
const require = createRequire(import.meta.url);
const { HTTP: endpoint, SECRET: clientSecret } = process.env;
const machine = { authType: 'ClientSecret', clientId: 'flytepropeller', clientSecret, store: 'memory' };
const signedIn = async () => {
  const session = Session.forEndpoint(endpoint, machine);
  await session.token();
  return session;
};

const CHECKS = {
  'ES module and CommonJS are one': () => assert.equal(require('flyte-auth').Session, Session),
  'token and header': async () => {
    const session = await signedIn();
    const token = session.tryToken();
    assert(token.expiresAt > new Date());
    assert.deepEqual(await session.headers(), { [token.headerName]: token.headerValue });
    assert.equal(await session.token(), token);
  },
  'an error is of its class': async () => {
    await assert.rejects(Session.forEndpoint(endpoint, { store: 'memory' }).token(), LoginRequiredError);
    assert.throws(() => Session.forEndpoint(endpoint, { store: 'none of them' }), ConfigError);
  },
  'a login in two steps, from the store': async () => {
    const session = Session.forEndpoint(endpoint, { store: 'file' });
    const login = await session.beginLogin({ flow: 'pkce', noBrowser: true });
    const finished = login.finish();
    await (await fetch(login.url)).text();
    assert.equal((await finished).hasAuth, true);
    assert.equal((await Session.forEndpoint(endpoint, { store: 'file' }).whoami()).email, 'alice@example.org');
    assert.equal((await session.logout()).wasSignedIn, true);
  },
  'an aborted login frees its port': async () => {
    for (let round = 0; round < 2; round += 1) {
      const session = Session.forEndpoint(endpoint, { store: 'memory' });
      const login = await session.beginLogin({ flow: 'pkce', noBrowser: true });
      await assert.rejects(login.finish({ signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
      login.cancel();
    }
  },
  'a verifier': async () => {
    const { value } = (await signedIn()).tryToken();
    const verifier = new Verifier({ issuer: endpoint, audience: endpoint });
    assert.equal((await verifier.verify(value)).subject, 'flytepropeller');
    await assert.rejects(verifier.verify(`${value}x`), { reason: /^token_/ });
  },
  'a worker thread': async () => {
    const worker = new Worker(new URL('./basic_worker.mjs', import.meta.url), { workerData: { endpoint, machine } });
    const told = await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    assert.equal(told, 'authorization');
    await worker.terminate();
  },
  fetch: async () => {
    const { createFetch } = await import('flyte-auth/fetch');
    assert.equal((await createFetch(await signedIn())(`${endpoint}/me`)).status, 200);
  },
  'grpc-js': async () => {
    const grpc = (await import('@grpc/grpc-js')).default;
    const { channel } = await import('flyte-auth/grpc');
    const session = Session.forEndpoint(`http://${process.env.GRPC}`, { ...machine, insecure: true });
    const client = new grpc.Client(...channel(session));
    const reply = await new Promise((resolve, reject) => {
      const path = '/flyteidl.service.IdentityService/UserInfo';
      const deadline = { deadline: Date.now() + 10_000 };
      client.makeUnaryRequest(
        path,
        Buffer.from,
        String,
        Buffer.alloc(0),
        new grpc.Metadata(),
        deadline,
        (error, found) => (error ? reject(error) : resolve(found)),
      );
    });
    client.close();
    assert.match(reply, /flytepropeller/);
  },
  connect: async () => {
    const { createConnectTransport } = await import('@connectrpc/connect-node');
    const { createClient } = await import('@connectrpc/connect');
    const { authInterceptor } = await import('flyte-auth/connect');
    const { Identity } = await import('../identity_service.mjs');
    const interceptors = [authInterceptor(await signedIn())];
    const transport = createConnectTransport({ baseUrl: endpoint, httpVersion: '1.1', interceptors });
    await createClient(Identity, transport).userInfo({});
  },
  express: async () => {
    const { default: express } = await import('express');
    const { flyteLogin, requireLogin } = await import('flyte-auth/express');
    const app = express();
    const options = { issuer: endpoint, clientId: 'console', cookieKeys: 'k'.repeat(32) };
    app.use(flyteLogin({ ...options, baseURL: 'http://127.0.0.1:1' }), requireLogin(), (_, response) =>
      response.end('in'),
    );
    const server = http.createServer(app).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.on('listening', resolve));
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/`);
    assert.equal(answer.status, 401);
    await answer.text();
    server.closeAllConnections?.();
    server.close();
  },
  'the command line': async () => {
    const { execFileSync } = await import('node:child_process');
    const bin = require.resolve('flyte-auth/package.json').replace('package.json', 'bin/flyte-auth.js');
    const words = process.env.RUNTIME_WORDS ? process.env.RUNTIME_WORDS.split(' ') : [];
    assert.match(execFileSync(process.execPath, [...words, bin, '--version'], { encoding: 'utf8' }), /^flyte-auth \d/);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  let why = '';
  try {
    await Promise.race([
      check(),
      new Promise((_, reject) => setTimeout(() => reject(new Error('no end in 20 s')), 20_000).unref?.()),
    ]);
  } catch (error) {
    why = String(error?.stack ?? error);
  }
  console.log(JSON.stringify({ name, why }));
}
process.exit(0);
