// `flyte-auth/web` behind a server that speaks Web `Request` and `Response`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flyteLogin } from 'flyte-auth/web';
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

consoleSuite('web');

test('what is no route of the relying party is not found', async () => {
  const { handler } = flyteLogin(OPTIONS);
  const response = await handler(new Request('https://console.example/elsewhere'));
  assert.equal(response.status, 404);
});

test('apply() leaves what has nothing to add as it is, also where nothing can be changed', async () => {
  const { authenticate } = flyteLogin(OPTIONS);
  const { user, session, response, apply } = await authenticate(new Request('https://console.example/'));
  assert.deepEqual([user, session, response], [undefined, undefined, undefined]);
  const redirect = Response.redirect('https://console.example/elsewhere');
  assert.equal(apply(redirect), redirect);
});

test('a body that was read before is an error that says so', async () => {
  const { handler } = flyteLogin(OPTIONS);
  const request = new Request('https://console.example/callback', { method: 'POST', body: 'state=x' });
  await request.text();
  await assert.rejects(handler(request), {
    code: 'FLYTE_AUTH_CONFIG',
    reason: 'body_used',
    message: /request\.clone\(\)/,
  });
});
