// `flyte-auth/authjs`: the provider object under the real Auth.js, which runs the protocol with the real provider.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Auth } from '@auth/core';
import { FlyteProvider } from 'flyte-auth/authjs';
import { movesIn } from './harness/home.mjs';
import { Issuer } from './harness/issuer.mjs';
import { Visitor } from './harness/visitor.mjs';

movesIn();

async function answered(request, response, config) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const init = {
    method: request.method,
    headers: request.headers,
    ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
  };
  const answer = await Auth(new Request(`http://${request.headers.host}${request.url}`, init), config);
  response.statusCode = answer.status;
  for (const [name, value] of answer.headers) response.appendHeader(name, value);
  response.end(Buffer.from(await answer.arrayBuffer()));
}

describe('Auth.js', () => {
  let issuer;
  let server;
  let url;
  let tokens;

  before(async () => {
    issuer = await Issuer.start();
    let config;
    server = createServer((request, response) => void answered(request, response, config)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://localhost:${server.address().port}`;
    const client = await issuer.registerApp(url, { callback: '/auth/callback/flyte' });
    config = {
      providers: [FlyteProvider({ issuer: issuer.url, ...client })],
      secret: 'only-for-tests-only-for-tests-only',
      trustHost: true,
      basePath: '/auth',
      callbacks: {
        jwt({ token, account }) {
          if (account) tokens = account;
          return token;
        },
      },
    };
  });

  after(async () => {
    server?.close();
    await issuer?.stop();
  });

  test('signs in with PKCE, state and nonce, and maps the profile', async () => {
    const visitor = new Visitor();
    const { csrfToken } = (await visitor.request(`${url}/auth/csrf`)).json();
    const sent = await visitor.post(`${url}/auth/signin/flyte`, { csrfToken, callbackUrl: `${url}/` });
    assert.equal(sent.status, 302, sent.text);
    const asked = new URL(sent.location).searchParams;
    assert.equal(asked.get('scope'), 'openid profile email offline_access');
    assert.equal(asked.get('code_challenge_method'), 'S256');
    assert.ok(asked.get('state') && asked.get('nonce'));
    await visitor.walk(sent.location, { until: (next) => next === `${url}/` });
    const session = (await visitor.request(`${url}/auth/session`)).json();
    assert.equal(session.user.name, 'alice');
    assert.equal(session.user.email, 'alice@example.org');
    assert.ok(tokens.access_token && tokens.refresh_token, 'the tokens are there for Flyte');
  });
});

test('the provider is a plain object with all three checks', () => {
  const provider = FlyteProvider({ issuer: 'https://idp.example', clientId: 'c', clientSecret: 'fake' });
  assert.equal(Object.getPrototypeOf(provider), Object.prototype);
  assert.deepEqual(provider.checks, ['pkce', 'state', 'nonce']);
  assert.equal(provider.type, 'oidc');
  assert.deepEqual(provider.profile({ sub: 's', preferred_username: 'u' }), {
    id: 's',
    name: 'u',
    email: null,
    image: null,
  });
  const other = FlyteProvider({
    issuer: 'https://idp.example',
    clientId: 'c',
    scopes: ['openid', 'all'],
    audience: 'a',
    id: 'x',
  });
  assert.deepEqual(other.authorization, { params: { scope: 'openid all', audience: 'a' } });
  assert.deepEqual(other.client, { token_endpoint_auth_method: 'none' });
  assert.equal(other.id, 'x');
});

test('options of an unknown name or type are named', () => {
  assert.throws(() => FlyteProvider({ issuer: 'https://idp.example' }), {
    name: 'TypeError',
    message: /clientId is missing/,
  });
  assert.throws(() => FlyteProvider({ issuer: 'https://idp.example', clientID: 'c' }), {
    name: 'TypeError',
    message: /clientID; did you mean clientId/,
  });
});
