// `requireBearer` of every adapter: RFC 6750 sections 2 and 3, and what a token of another kind, issuer or time is worth.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { App } from './harness/apps.mjs';
import { Issuer } from './harness/issuer.mjs';
import { Visitor } from './harness/visitor.mjs';

const ISSUER = 'https://tokens.example';
const AUDIENCE = 'https://flyte.example/api';

/** An issuer whose keys the app was given, so that a test can sign whatever it likes. */
async function signer() {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', use: 'sig', alg: 'RS256' };
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'alice',
    client_id: 'a-client',
    scope: 'all offline',
    jti: 'x',
    iat: now,
    exp: now + 300,
  };
  const sign = (changes = {}, header = {}, key = privateKey) =>
    new SignJWT({ ...claims, ...changes })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'one', ...header })
      .sign(key);
  return { jwks: { keys: [jwk] }, now, sign };
}

/** The parts of a `WWW-Authenticate: Bearer` challenge. */
function challenge(answer) {
  const header = answer.headers['www-authenticate'];
  const [, scheme, rest] = /^(\w+)(.*)$/.exec(header);
  assert.equal(scheme, 'Bearer');
  return Object.fromEntries(
    [...rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]),
  );
}

for (const kind of ['express', 'fastify', 'web']) {
  describe(`bearer: ${kind}`, () => {
    let issuer;
    let app;
    let keys;

    before(async () => {
      issuer = await Issuer.start();
      keys = await signer();
      const bearer = { issuer: ISSUER, audience: AUDIENCE, jwks: keys.jwks, scopes: ['all'], realm: 'things' };
      app = await App.start(issuer, { kind, bearer });
    });

    after(async () => {
      assert.doesNotMatch(app.output, /eyJ[\w-]{10}/);
      await app.stop();
      await issuer.stop();
    });

    const ask = (authorization, headers = {}) =>
      new Visitor().request(`${app.url}/bearer`, {
        headers: { accept: 'application/json', ...(authorization !== undefined && { authorization }), ...headers },
      });

    test('a good token passes, and its claims are the user', async () => {
      for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
        const answer = await ask(`${scheme} ${await keys.sign()}`);
        assert.equal(answer.status, 200, answer.text);
        const { user, subject, scopes } = answer.json();
        assert.equal(subject, 'alice');
        assert.equal(user.client_id, 'a-client');
        assert.deepEqual(scopes, ['all', 'offline']);
      }
    });

    const refusals = {
      // Section 3.1: without credentials no error code.
      'no credentials': [() => undefined, 401, undefined],
      'credentials of another scheme': [() => 'Basic YWxpY2U6c2VjcmV0', 401, undefined],
      'a scheme that only begins so': [async ({ sign }) => `BearerX ${await sign()}`, 401, undefined],
      'no token': [() => 'Bearer', 400, 'invalid_request'],
      'an empty token': [() => 'Bearer ', 400, 'invalid_request'],
      'two tokens': [async ({ sign }) => `Bearer ${await sign()} ${await sign()}`, 400, 'invalid_request'],
      'what is no token': [() => 'Bearer "quoted"', 400, 'invalid_request'],
      'an opaque token': [() => 'Bearer abcdefghijklmnop', 401, 'invalid_token'],
      'three dots': [() => 'Bearer a.b.c', 401, 'invalid_token'],
      'an expired token': [async ({ sign, now }) => `Bearer ${await sign({ exp: now - 3600 })}`, 401, 'invalid_token'],
      'a token of the future': [
        async ({ sign, now }) => `Bearer ${await sign({ nbf: now + 3600 })}`,
        401,
        'invalid_token',
      ],
      'a token without an end': [async ({ sign }) => `Bearer ${await sign({ exp: undefined })}`, 401, 'invalid_token'],
      'a token for somebody else': [
        async ({ sign }) => `Bearer ${await sign({ aud: 'https://other.example' })}`,
        401,
        'invalid_token',
      ],
      'a token of another issuer': [
        async ({ sign }) => `Bearer ${await sign({ iss: 'https://evil.example' })}`,
        401,
        'invalid_token',
      ],
      'an unknown key': [async ({ sign }) => `Bearer ${await sign({}, { kid: 'two' })}`, 401, 'invalid_token'],
      'a token signed by somebody else': [
        async ({ sign }) => `Bearer ${await sign({}, {}, (await generateKeyPair('RS256')).privateKey)}`,
        401,
        'invalid_token',
      ],
      'an unsigned token': [
        async ({ sign }) => {
          const [, payload] = (await sign()).split('.');
          return `Bearer ${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`;
        },
        401,
        'invalid_token',
      ],
      'a token signed with the public key as a secret': [
        async ({ sign, jwks }) => {
          const secret = Buffer.from(JSON.stringify(jwks.keys[0]));
          return `Bearer ${await sign({}, { alg: 'HS256' }, secret)}`;
        },
        401,
        'invalid_token',
      ],
      'a token without the scope': [
        async ({ sign }) => `Bearer ${await sign({ scope: 'offline' })}`,
        403,
        'insufficient_scope',
      ],
      'a scope that only begins so': [
        async ({ sign }) => `Bearer ${await sign({ scope: 'all:not' })}`,
        403,
        'insufficient_scope',
      ],
    };
    for (const [name, [credentials, status, error]] of Object.entries(refusals)) {
      test(`${name}: ${status}${error ? ` ${error}` : ''}`, async () => {
        const given = await credentials(keys);
        const answer = await ask(given);
        assert.equal(answer.status, status, answer.text);
        const parts = challenge(answer);
        assert.equal(parts.realm, 'things');
        assert.equal(parts.error, error);
        assert.equal(parts.scope, error === 'insufficient_scope' ? 'all' : undefined);
        assert.match(answer.headers['content-type'], /^application\/json/);
        const said = answer.text + answer.raw.join('\n');
        for (const part of given?.split(/[ .]/).filter((each) => each.length > 10) ?? [])
          assert.ok(!said.includes(part));
      });
    }

    test('a token in the address or in a form is not taken: they are logged and kept (section 2.2, 2.3)', async () => {
      const token = await keys.sign();
      const inQuery = await new Visitor().request(`${app.url}/bearer?access_token=${token}`);
      assert.equal(inQuery.status, 401);
    });

    test("a session cookie is no bearer's token", async () => {
      const visitor = new Visitor();
      await visitor.signIn(app.url);
      assert.equal((await visitor.request(`${app.url}/bearer`)).status, 401);
    });
  });

  test(`bearer: ${kind}: the issuer's own keys, fetched and rotated`, async () => {
    const issuer = await Issuer.start();
    const app = await App.start(issuer, { kind });
    try {
      const ask = async (token) =>
        new Visitor().request(`${app.url}/bearer`, { headers: { authorization: `Bearer ${token}` } });
      const before = await issuer.machineToken('all');
      assert.equal((await ask(before)).status, 200);
      await issuer.rotateKeys();
      // They are not fetched again sooner, whatever key ids come.
      app.clock(61_000);
      const rotated = await ask(await issuer.machineToken('all'));
      assert.equal(rotated.status, 200, rotated.text);
      const lacking = await ask(await issuer.machineToken('profile'));
      assert.equal(lacking.status, 403);
    } finally {
      await app.stop();
      await issuer.stop();
    }
  });

  test(`bearer: ${kind}: an issuer that does not answer is no fault of the token's`, async () => {
    const [issuer, other] = [await Issuer.start(), await Issuer.start()];
    const app = await App.start(issuer, { kind, bearer: { issuer: other.url } });
    const token = await other.machineToken('all');
    await other.stop();
    try {
      const answer = await new Visitor().request(`${app.url}/bearer`, {
        headers: { authorization: `Bearer ${token}` },
      });
      assert.equal(answer.status, 503);
      assert.ok(Number(answer.headers['retry-after']) >= 1);
      assert.ok(!answer.text.includes(token));
    } finally {
      await app.stop();
      await issuer.stop();
    }
  });
}
