// The verifier through Node: tokens that jose signs and the sandbox's own; what is refused, by which check.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as passed } from 'node:timers/promises';
import { inspect } from 'node:util';

import {
  AccessDeniedError,
  ConfigError,
  NetworkError,
  ServerError,
  Session,
  VerifiedToken,
  Verifier,
} from 'flyte-auth';
import * as jose from 'jose';

import { movesIn } from './harness/home.mjs';
import { closedPort } from './harness/ports.mjs';
import { MACHINE, Sandbox } from './harness/sandbox.mjs';

movesIn();
const ISSUER = 'https://idp.example';
const AUDIENCE = 'https://flyte.example';
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const keys = {};
let jwks, server;
before(async () => {
  const publics = ALGORITHMS.map(async (alg) => {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    keys[alg] = privateKey;
    return { ...(await jose.exportJWK(publicKey)), alg, use: 'sig', kid: alg };
  });
  jwks = { keys: await Promise.all(publics) };
  server = await Sandbox.start();
});
after(() => server.stop());

const now = () => Math.floor(Date.now() / 1000);

/** A token of `alice`; what is undefined is left out. */
function signed({ alg = 'RS256', typ = 'at+jwt', header = {}, key = keys[alg], ...change } = {}) {
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'alice',
    client_id: 'flytectl',
    scope: 'all offline',
    jti: 'j',
    iat: now(),
    exp: now() + 300,
    ...change,
  };
  return new jose.SignJWT(JSON.parse(JSON.stringify(claims)))
    .setProtectedHeader({ alg, typ, kid: alg, ...header })
    .sign(key);
}

const verifierOf = (options = {}) => new Verifier({ issuer: ISSUER, audience: AUDIENCE, jwks, ...options });

/** The check that refuses; its text holds nothing of the token. */
async function refusal(work, token) {
  try {
    await work();
  } catch (error) {
    assert(error instanceof AccessDeniedError, inspect(error));
    const text = inspect(error, { depth: 9 });
    for (const part of token.split('.').filter((each) => each.length > 8)) assert(!text.includes(part), text);
    return error.reason;
  }
  return null;
}

const refused = (verifier, token) => refusal(() => verifier.verify(token), token);

for (const alg of ALGORITHMS) {
  test(`a good token of ${alg}`, async () => {
    const token = await verifierOf().verify(await signed({ alg, roles: ['x'], iat: 1_700_000_000 }));
    assert(token instanceof VerifiedToken);
    assert.deepEqual(
      [token.issuer, token.subject, token.audience, token.clientId, token.scopes],
      [ISSUER, 'alice', [AUDIENCE], 'flytectl', ['all', 'offline']],
    );
    assert(token.hasScope('all') && !token.hasScope('al'));
    assert(token.expiresAt > new Date());
    assert.deepEqual(token.issuedAt, new Date(1_700_000_000_000));
    assert.deepEqual(token.claims.roles, ['x']);
    assert.notEqual(token.claims, token.claims);
    assert.throws(() => token.hasScope(7), /^TypeError: scope must be a string/);
  });
}

test('bad tokens', async () => {
  const verifier = verifierOf();
  const other = await jose.generateKeyPair('RS256');
  const good = await signed();
  const [head, , signature] = good.split('.');
  const payload = Buffer.from(JSON.stringify({ sub: 'mallory' })).toString('base64url');
  const cases = {
    token_expired: await signed({ exp: now() - 90 }),
    token_audience: await signed({ aud: 'https://other.example' }),
    token_issuer: await signed({ iss: 'https://other.example' }),
    token_not_yet_valid: await signed({ nbf: now() + 90 }),
    token_signature: `${head}.${payload}.${signature}`,
    token_malformed: 'made.up',
  };
  for (const [reason, token] of Object.entries(cases)) assert.equal(await refused(verifier, token), reason);
  assert(await refused(verifier, await signed({ key: other.privateKey })));
  const publicPem = new TextEncoder().encode(JSON.stringify(jwks.keys[0]));
  assert(await refused(verifier, await signed({ alg: 'HS256', key: publicPem, header: { kid: 'RS256' } })));
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.`;
  assert(await refused(verifier, none));
  assert((await verifier.verify(good)).subject, 'and goes on doing so');
});

test('options', async () => {
  const token = await signed();
  assert.equal(await refused(verifierOf({ requiredScopes: ['all', 'admin'] }), token), 'insufficient_scope');
  assert.equal(await refused(verifierOf({ requiredScopes: ['all'] }), token), null);
  assert.equal(await refused(verifierOf({ audience: ['https://other.example', AUDIENCE] }), token), null);
  assert.equal(await refused(verifierOf({ audience: undefined, anyAudience: true }), token), null);
  assert.equal(await refused(verifierOf({ algorithms: ['ES256'] }), token), 'token_algorithm');
  assert.equal(await refused(verifierOf({ profile: 'rfc9068' }), await signed({ typ: 'JWT' })), 'token_type');
  assert.equal(await refused(verifierOf({ profile: 'rfc9068' }), token), null);
  assert.equal(await refused(verifierOf({ jwks: JSON.stringify(jwks) }), token), null);
  assert.equal(await refused(verifierOf({ remember: 0 }), token), null);
  // Milliseconds.
  const late = await signed({ iat: now() - 600, exp: now() - 30 });
  assert.equal(await refused(verifierOf({ clockSkew: 60_000 }), late), null);
  assert.equal(await refused(verifierOf({ clockSkew: 10_000 }), late), 'token_expired');
  assert.equal(await refused(verifierOf({ clockSkew: 0 }), late), 'token_expired');
  assert.equal(verifierOf().issuer, ISSUER);
  for (const wrong of [
    { audience: undefined },
    { algorithms: ['HS256'] },
    { profile: 'saml' },
    { jwks: '{' },
    { clockSkew: 300_001 },
  ]) {
    assert.throws(() => verifierOf(wrong), ConfigError, inspect(wrong));
  }
});

test('what is remembered expires', async () => {
  const verifier = verifierOf({ clockSkew: 0 });
  const token = await signed({ iat: now() - 1, exp: now() + 2 });
  assert.equal(await refused(verifier, token), null);
  await passed(2500);
  assert.equal(await refused(verifier, token), 'token_expired');
});

test('an ID token', async () => {
  const verifier = verifierOf({ audience: 'flytectl' });
  const accessToken = 'an-access-token';
  const at_hash = createHash('sha256').update(accessToken).digest().subarray(0, 16).toString('base64url');
  const person = { email: 'alice@example.org', preferred_username: 'alice', client_id: undefined, scope: undefined };
  const token = await signed({ typ: 'JWT', aud: 'flytectl', nonce: 'n', at_hash, ...person });
  const right = { clientId: 'flytectl', nonce: 'n', accessToken };
  assert.deepEqual(await verifier.verifyIdToken(token, right), {
    subject: 'alice',
    email: 'alice@example.org',
    preferredUsername: 'alice',
  });
  const bare = await signed({ typ: 'JWT', aud: 'flytectl', client_id: undefined, scope: undefined });
  assert.deepEqual(await verifier.verifyIdToken(bare, { clientId: 'flytectl' }), {
    subject: 'alice',
    email: null,
    preferredUsername: null,
  });
  for (const wrong of [{ clientId: 'other' }, { nonce: 'another' }, { accessToken: 'another' }]) {
    assert.equal(await refusal(() => verifier.verifyIdToken(token, { ...right, ...wrong }), token), 'id_token_invalid');
  }
  // No kind stands for another.
  assert.equal(await refused(verifier, token), 'token_type');
});

test('a logout token', async () => {
  const verifier = verifierOf({ audience: 'flytectl' });
  const shape = {
    typ: 'logout+jwt',
    client_id: undefined,
    scope: undefined,
    aud: 'flytectl',
    sid: 'session-1',
    events: { [LOGOUT_EVENT]: {} },
  };
  const token = await signed(shape);
  const { expiresAt, ...found } = await verifier.verifyLogoutToken(token, { clientId: 'flytectl' });
  assert.deepEqual(found, { subject: 'alice', sessionId: 'session-1', tokenId: 'j' });
  assert(expiresAt > new Date());
  for (const change of [
    { events: undefined },
    { nonce: 'n' },
    { jti: undefined },
    { sub: undefined, sid: undefined },
  ]) {
    const wrong = await signed({ ...shape, ...change });
    assert(await refusal(() => verifier.verifyLogoutToken(wrong, { clientId: 'flytectl' }), wrong), inspect(change));
  }
  assert.equal(await refusal(() => verifier.verifyLogoutToken(token, { clientId: 'other' }), token), 'token_audience');
});

test("of the sandbox: many at once fetch the issuer's keys once, and again when they are new", async () => {
  const session = Session.forEndpoint(server.http, { ...MACHINE, store: 'memory' });
  const { value } = await session.token();
  const verifier = new Verifier({ issuer: server.issuer, anyAudience: true });
  const before = await server.requestsTo('/jwks');
  const found = await Promise.all(Array.from({ length: 50 }, () => verifier.verify(value)));
  for (const each of found) assert.equal(each.subject, 'flytepropeller');
  assert.equal(await server.requestsTo('/jwks'), before + 1);
});

test('keys that cannot be had say nothing of the token', async () => {
  const nobody = new Verifier({ issuer: `http://127.0.0.1:${await closedPort()}`, anyAudience: true });
  const foreign = await signed({ iss: nobody.issuer });
  const error = await nobody.verify(foreign).catch((caught) => caught);
  assert(error instanceof NetworkError || error instanceof ServerError, inspect(error));
  assert.equal(error.retryable, true);
});

test('a signal ends the wait for the keys at once, and what is known needs none', async () => {
  const hanging = createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => hanging.once('listening', resolve));
  const issuer = `http://127.0.0.1:${hanging.address().port}`;
  const verifier = new Verifier({ issuer, anyAudience: true });
  const [controller, reason] = [new AbortController(), new Error('enough')];
  const { signal } = controller;
  const token = await signed({ iss: issuer });
  const waits = [
    verifier.verify(token, { signal }),
    verifier.verifyIdToken(token, { clientId: 'x', signal }),
    verifier.verifyLogoutToken(token, { clientId: 'x', signal }),
  ].map((each) => assert.rejects(each, (error) => error === reason));
  await passed(50);
  const begin = performance.now();
  controller.abort(reason);
  await Promise.all(waits);
  assert(performance.now() - begin < 500);
  await assert.rejects(verifierOf().verify(await signed(), { signal }), (error) => error === reason);
  hanging.closeAllConnections();
  hanging.close();
});
