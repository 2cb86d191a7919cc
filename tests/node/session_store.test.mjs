// Sessions of a web app in a store that the app gives: what the store sees, and what its failures do.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';

import express from 'express';
import { flyteLogin, requireLogin } from 'flyte-auth/express';

import { COOKIE_KEY } from './harness/apps.mjs';
import { Issuer } from './harness/issuer.mjs';
import { Visitor } from './harness/visitor.mjs';

const DEADLINE = { timeout: 60_000 };

/** A store as an app would write one over its database, with its doors. */
class Store {
  kept = new Map();
  calls = [];
  /** What every call does first. */
  before = async () => {};

  async get(key) {
    this.calls.push('get');
    await this.before();
    return this.kept.get(key)?.value;
  }

  async set(key, value, lifetime) {
    this.calls.push('set');
    await this.before();
    this.kept.set(key, { value: Buffer.from(value), lifetime });
  }

  async delete(key) {
    this.calls.push('delete');
    await this.before();
    this.kept.delete(key);
  }
}

let issuer;
let client;
let store;
const servers = [];

async function replica(port = 0) {
  const app = express();
  let auth;
  app.use((req, res, next) => auth(req, res, next));
  app.get('/console', requireLogin(), (req, res) => res.json({ user: req.flyteAuth.user.sub }));
  app.get('/', (req, res) => res.json({ user: req.flyteAuth.user?.sub ?? null }));
  const server = http.createServer(app).listen(port, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  servers.push(server);
  const url = `http://localhost:${server.address().port}`;
  client ??= await issuer.registerApp(url);
  base ??= url;
  auth = flyteLogin({
    issuer: issuer.url,
    ...client,
    baseURL: base,
    cookieKeys: COOKIE_KEY,
    store,
    onProblem: () => {},
  });
  return url;
}
let base;

before(async () => {
  issuer = await Issuer.start();
});
after(async () => {
  servers.forEach((server) => {
    server.closeAllConnections();
    server.close();
  });
  await issuer.stop();
});
beforeEach(() => {
  client = base = undefined;
  store = new Store();
});

describe('a store of the app', DEADLINE, () => {
  test('keeps sealed sessions under names that are in no cookie', async () => {
    const url = await replica();
    const visitor = new Visitor();
    await visitor.signIn(url, { user: 'alice', returnTo: '/console' });
    assert.equal(store.kept.size, 1);
    const [[key, { value, lifetime }]] = store.kept;
    assert(lifetime > 60_000 && lifetime <= 7 * 86_400_000, `${lifetime} ms`);
    assert(value instanceof Uint8Array);
    const cookies = visitor.jar.header(url);
    assert(cookies.length < 500, 'the browser has the whole session');
    assert(!cookies.includes(key));
    for (const plain of ['alice', 'access_token', 'eyJ']) assert(!value.includes(plain), plain);
    // Whoever reads the store cannot present what is there.
    const forged = cookies.replace(/=[^;]*/, `=${value.toString('base64url')}`);
    const answer = await visitor.request(`${url}/`, { cookies: forged });
    assert.deepEqual(JSON.parse(answer.text), { user: null });
  });

  test('is what replicas share', async () => {
    const url = await replica();
    const visitor = new Visitor();
    await visitor.signIn(url, { user: 'alice', returnTo: '/console' });
    const other = await replica();
    const answer = await visitor.request(`${other}/console`, { cookies: visitor.jar.header(url) });
    assert.deepEqual(JSON.parse(answer.text), { user: 'alice' });
    const stranger = await new Visitor().request(`${other}/console`, { headers: { accept: 'application/json' } });
    assert.equal(stranger.status, 401);
  });

  test('loses the session with its sign-out, for every replica', async () => {
    const url = await replica();
    const visitor = new Visitor();
    await visitor.signIn(url, { user: 'alice', returnTo: '/console' });
    const cookies = visitor.jar.header(url);
    await visitor.request(`${url}/logout`, { headers: { 'sec-fetch-site': 'same-origin' } });
    assert.equal(store.kept.size, 0);
    const other = await replica();
    assert.deepEqual(JSON.parse((await visitor.request(`${other}/`, { cookies })).text), { user: null });
  });

  test('that fails makes the request fail, and signs nobody out', async () => {
    const url = await replica();
    const visitor = new Visitor();
    await visitor.signIn(url, { user: 'alice', returnTo: '/console' });
    const other = await replica();
    const cookies = visitor.jar.header(url);
    store.before = async () => {
      throw new RangeError('password=hunter2');
    };
    const failed = await visitor.request(`${other}/console`, { cookies });
    assert.equal(failed.status, 503);
    assert(!failed.text.includes('hunter2'));
    assert.deepEqual(failed.setCookies ?? [], []);
    store.before = async () => {};
    const again = await visitor.request(`${other}/console`, { cookies });
    assert.deepEqual([again.status, JSON.parse(again.text)], [200, { user: 'alice' }]);
  });

  test('may be synchronous', async () => {
    const kept = new Map();
    store = {
      get: (key) => kept.get(key),
      set: (key, value) => kept.set(key, value),
      delete: (key) => kept.delete(key),
    };
    const url = await replica();
    const visitor = new Visitor();
    await visitor.signIn(url, { user: 'bob', returnTo: '/console' });
    assert.deepEqual(JSON.parse((await visitor.request(`${url}/console`)).text), { user: 'bob' });
    assert.equal(kept.size, 1);
  });
});

test('what is no store is a TypeError that names what is missing', () => {
  const options = {
    issuer: 'https://idp.example',
    clientId: 'c',
    baseURL: 'https://a.example',
    cookieKeys: COOKIE_KEY,
  };
  for (const [store, what] of [
    [{}, /get/],
    [{ get: () => {}, set: () => {} }, /delete/],
    [7, /store/],
    [[], /get/],
  ]) {
    assert.throws(() => flyteLogin({ ...options, store }), { name: 'TypeError', message: what });
  }
  assert.throws(() => flyteLogin({ ...options, store: 'redis' }), { reason: 'store_invalid' });
});
