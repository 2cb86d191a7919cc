// `flyte-auth/fastify` in a real Fastify app.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import fastify4 from 'fastify-4';
import { flyteLogin, requireLogin } from 'flyte-auth/fastify';
import { COOKIE_KEY } from './harness/apps.mjs';
import { consoleSuite } from './harness/console_suite.mjs';
import { movesIn } from './harness/home.mjs';

movesIn();

const OPTIONS = {
  issuer: 'https://idp.example',
  clientId: 'console',
  baseURL: 'https://console.example',
  cookieKeys: [COOKIE_KEY],
};

consoleSuite('fastify');

test('the plugin is for the whole app, from wherever it was registered', async () => {
  const app = fastify();
  app.register(async (child) => {
    await child.register(flyteLogin, OPTIONS);
    child.get('/beside', async (request) => ({ user: request.flyteAuth.user ?? null }));
  });
  const reply = await app.inject('/beside');
  assert.deepEqual(reply.json(), { user: null });
  const login = await app.inject('/me');
  assert.equal(login.statusCode, 401);
  await app.close();
});

test('a wrong option fails the start and is named', async () => {
  const app = fastify();
  app.register(flyteLogin, { ...OPTIONS, cookieKey: 'x' });
  await assert.rejects(app.ready(), { name: 'TypeError', message: /cookieKey; did you mean cookieKeys\?/ });
});

test('requireLogin without the plugin says what is missing', async () => {
  const app = fastify();
  app.get('/', { onRequest: requireLogin() }, async () => 'hello');
  const reply = await app.inject('/');
  assert.equal(reply.statusCode, 500);
  assert.match(reply.json().message, /requireLogin\(\) without flyteLogin/);
  await app.close();
});

test('Fastify 4 serves alike', async () => {
  const app = fastify4();
  await app.register(flyteLogin, OPTIONS);
  app.get('/', async (request) => ({ user: request.flyteAuth.user ?? null }));
  app.get('/console', { onRequest: requireLogin() }, async () => 'never');
  assert.deepEqual((await app.inject('/')).json(), { user: null });
  const sent = await app.inject({ url: '/console?a=b', headers: { accept: 'text/html' } });
  assert.equal(sent.statusCode, 302);
  assert.equal(sent.headers.location, '/login?return_to=%2Fconsole%3Fa%3Db');
  const posted = await app.inject({
    method: 'POST',
    url: '/callback',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: 'state=x&code=y',
  });
  assert.equal(posted.statusCode, 400);
  assert.equal(posted.json().error, 'login_unknown');
  await app.close();
});
