// `flyte-auth/express` in real Express apps, 4 and 5.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { inspect } from 'node:util';
import { test } from 'node:test';
import express from 'express';
import { flyteLogin, requireBearer, requireLogin } from 'flyte-auth/express';
import { COOKIE_KEY } from './harness/apps.mjs';
import { consoleSuite } from './harness/console_suite.mjs';
import { movesIn } from './harness/home.mjs';

movesIn();

const OPTIONS = {
  issuer: 'https://idp.example',
  clientId: 'console',
  clientSecret: 'an-obviously-fake-secret',
  baseURL: 'https://console.example',
  cookieKeys: [COOKIE_KEY],
};

for (const kind of ['express', 'express-4']) consoleSuite(kind);

test('options of an unknown name or type are named, without their value', () => {
  const wrong = (options) => () => flyteLogin({ ...OPTIONS, ...options });
  assert.throws(wrong({ clientSecrt: 'x' }), {
    name: 'TypeError',
    message: 'there is no option clientSecrt; did you mean clientSecret?',
  });
  assert.throws(wrong({ baseUrl: 'x' }), {
    name: 'TypeError',
    message: 'there is no option baseUrl; did you mean baseURL?',
  });
  assert.throws(wrong({ clientId: 7 }), { name: 'TypeError', message: /^clientId must be a string/ });
  assert.throws(wrong({ cookieKeys: [7] }), { name: 'TypeError', message: /^cookieKeys must be/ });
  assert.throws(wrong({ idleTimeout: '1h' }), { name: 'TypeError', message: /^idleTimeout must be a number/ });
  for (const name of ['issuer', 'clientId', 'baseURL', 'cookieKeys']) {
    assert.throws(wrong({ [name]: undefined }), { name: 'TypeError', message: `the option ${name} is missing` });
  }
  assert.throws(() => flyteLogin(), { name: 'TypeError' });
  assert.throws(() => requireBearer(), { name: 'TypeError' });
  assert.throws(() => requireBearer({ audience: 'x' }), { name: 'TypeError', message: /issuer/ });
  assert.throws(() => requireBearer({ issuer: 'https://idp.example', anyAudience: true, scopes: 'all' }), {
    name: 'TypeError',
  });
});

test('values that cannot be right are configuration errors that name the setting', () => {
  const cases = {
    issuer: 'not an address',
    baseURL: 'console.example',
    cookieKeys: ['short'],
    sameSite: 'sometimes',
    store: 'redis',
    scopes: ['profile'],
    loginPath: 'login',
    returnTo: ['https://other.example/path'],
    postLogoutRedirect: 'javascript:alert(1)',
    headerName: 'not a header',
    cookieName: 'a b',
    cookieDomain: 'a;b',
    sessionLifetime: -1,
    idleTimeout: Number.NaN,
  };
  for (const [name, value] of Object.entries(cases)) {
    assert.throws(
      () => flyteLogin({ ...OPTIONS, [name]: value }),
      (error) => {
        assert.equal(error.name, 'ConfigError', `${name}: ${error}`);
        assert.equal(error.code, 'FLYTE_AUTH_CONFIG');
        // Two lifetimes are checked together.
        assert.match(error.setting, name === 'idleTimeout' ? /idleTimeout|sessionLifetime/ : new RegExp(`^${name}$`));
        assert.doesNotMatch(error.message, /short|an-obviously-fake-secret/);
        return true;
      },
    );
  }
});

test('the base URL may be a URL, with a path and a slash at its end', () => {
  for (const baseURL of [
    new URL('https://console.example/'),
    'https://console.example/flyte/',
    'https://console.example/flyte',
  ]) {
    flyteLogin({ ...OPTIONS, baseURL });
  }
});

test('no way of printing what the middleware gives shows a secret', () => {
  const middleware = flyteLogin(OPTIONS);
  const printed = inspect(middleware, { depth: 9, showHidden: true }) + JSON.stringify({ middleware });
  assert.doesNotMatch(printed, /an-obviously-fake-secret|only-for-tests/);
});

test('requireLogin before flyteLogin says what is missing', async () => {
  const app = express();
  app.get('/', requireLogin(), (_request, response) => response.send('hello'));
  const errors = [];
  app.use((error, _request, response, _next) => {
    errors.push(error);
    response.status(500).end();
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const response = await fetch(`http://127.0.0.1:${server.address().port}/`);
  server.close();
  assert.equal(response.status, 500);
  assert.equal(errors[0].reason, 'login_missing');
  assert.equal(errors[0].code, 'FLYTE_AUTH_CONFIG');
});
