// Verifications of access tokens, flyte-auth beside jose, both with their key ready: `node verify.mjs [--quick]`.
//
// The limit is for one token after another, as a service that awaits each has them; that is how jose's figures in the
// project's baselines were had. jose's signatures are checked in the thread pool, and waking a thread costs it more than
// the signature. Two more rows say where it is better off: with 32 tokens at once, and with its process on one core alone
// (`taskset`). There even a bare signature's rate is less than the limit times jose's.
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Verifier } from 'flyte-auth';
import { createLocalJWKSet, importJWK, jwtVerify } from 'jose';

import { inTurn, median, quick, ratio, row } from './common.mjs';

const ISSUER = 'https://idp.example';
const AUDIENCE = 'https://flyte.example';
const COUNT = quick ? 1_000 : 3_000;
const BATCH = 32;
const pinned = process.argv.includes('--pinned');
const ALGORITHMS = {
  // The least times jose's rate.
  RS256: { limit: 3, type: 'rsa', options: { modulusLength: 2048 } },
  ES256: { limit: 2, type: 'ec', options: { namedCurve: 'P-256' } },
};

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Tokens with the claims of a usual access token, each with an id of its own; and the key in each form. */
function made(alg, type, options) {
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg, kid: 'benchmark', use: 'sig' };
  const now = Math.floor(Date.now() / 1000);
  const header = encoded({ alg, kid: 'benchmark', typ: 'at+jwt' });
  const parts = Array.from({ length: COUNT }, (_, number) => {
    const claims = {
      ...{ iss: ISSUER, sub: 'alice@example.org', aud: [AUDIENCE], client_id: 'flytectl', scope: 'all offline' },
      ...{ iat: now, exp: now + 3600, jti: `benchmark-${number}`, sid: 'c2Vzc2lvbg', auth_time: now },
      ...{ email: 'alice@example.org', name: 'Alice' },
    };
    const signed = Buffer.from(`${header}.${encoded(claims)}`);
    return { signed, signature: sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' }) };
  });
  const tokens = parts.map(({ signed, signature }) => `${signed}.${signature.toString('base64url')}`);
  return { jwk, publicKey, parts, tokens };
}

async function oneByOne(items, check) {
  for (const item of items) await check(item);
}

async function inBatches(items, check) {
  for (let at = 0; at < items.length; at += BATCH) await Promise.all(items.slice(at, at + BATCH).map(check));
}

/** Items per second. */
async function rate(items, check, walk = oneByOne) {
  const before = process.hrtime.bigint();
  await walk(items, check);
  return (items.length * 1e9) / Number(process.hrtime.bigint() - before);
}

const rounds = quick ? 5 : 11;
for (const [alg, { limit, type, options }] of Object.entries(ALGORITHMS)) {
  const { jwk, publicKey, parts, tokens } = made(alg, type, options);
  const mine = { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] } };
  const [forgetful, remembering] = [new Verifier({ ...mine, remember: 0 }), new Verifier(mine)];
  const keySet = createLocalJWKSet({ keys: [jwk] });
  const key = await importJWK(jwk, alg);
  const demands = { issuer: ISSUER, audience: AUDIENCE, algorithms: [alg] };
  const once = Array(COUNT).fill(tokens[0]);
  const raw = { key: publicKey, dsaEncoding: 'ieee-p1363' };
  const bare = ({ signed, signature }) => {
    if (!verify('sha256', signed, raw, signature)) throw new Error('a good signature was refused');
  };
  const calls = {
    'flyte-auth': [tokens, (token) => forgetful.verify(token)],
    'jose (createLocalJWKSet)': [tokens, (token) => jwtVerify(token, keySet, demands)],
    'jose (imported key)': [tokens, (token) => jwtVerify(token, key, demands)],
    'flyte-auth, 32 at once': [tokens, (token) => forgetful.verify(token), inBatches],
    'jose (imported key), 32 at once': [tokens, (token) => jwtVerify(token, key, demands), inBatches],
    'node:crypto, signature alone': [parts, bare],
    'flyte-auth, seen before': [once, (token) => remembering.verify(token)],
  };
  const found = await inTurn(calls, rounds, (call) => rate(...call));
  const jose = found['jose (imported key)'].map((each, round) =>
    Math.max(each, found['jose (createLocalJWKSet)'][round]),
  );
  const times = (rates, peer = jose) => ratio(rates, peer);
  const bareTimes = ['node:crypto, signature alone', times(found['node:crypto, signature alone'])];
  if (pinned) {
    const one = `${alg} token, times jose's rate, on one core alone`;
    for (const [name, value] of [['flyte-auth', times(found['flyte-auth'])], bareTimes]) row(one, name, value, 'x');
    continue;
  }
  for (const [name, rates] of Object.entries(found)) {
    const [subject, seen] = name.split(', seen before');
    row(seen === undefined ? `${alg} token` : `${alg} token seen before`, subject, median(rates), 'per second');
  }
  const at32 = times(found['flyte-auth, 32 at once'], found['jose (imported key), 32 at once']);
  const rows = [
    ['flyte-auth', times(found['flyte-auth'])],
    ['limit', limit],
    ['flyte-auth, 32 at once', at32],
    bareTimes,
  ];
  for (const [name, value] of rows) row(`${alg} token, times jose's rate`, name, value, 'x');
  const again = `${alg} token seen before, times jose's rate`;
  row(again, 'flyte-auth', times(found['flyte-auth, seen before']), 'x');
  row(again, 'limit', limit, 'x');
}

if (!pinned && process.platform === 'linux') {
  const [, core] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
  const again = ['-c', core, process.execPath, ...process.argv.slice(1), '--pinned'];
  const { status, error } = spawnSync('taskset', again, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0 && error?.code !== 'ENOENT') throw error ?? new Error('it failed on one core');
}
