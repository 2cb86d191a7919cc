// Verifications of access tokens, flyte-auth beside jose, both with their key ready: `node verify.mjs [--quick]`.
//
// The limit is for one token after another, as a service that awaits each has them. jose's signatures are checked in
// the thread pool, and its rate on a machine of two cores differs threefold from process to process: so each round is
// a process, and the rows are medians of them. Other rows say where jose is better off: with 32 tokens at once, and
// with its process on one core alone (`taskset`). There a bare signature's rate is less than the limit times jose's.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import { Verifier } from 'flyte-auth';
import { createLocalJWKSet, importJWK, jwtVerify } from 'jose';

import { inTurn, median, quick, ratio, row } from './common.mjs';

const ISSUER = 'https://idp.example';
const AUDIENCE = 'https://flyte.example';
const COUNT = quick ? 1_000 : 3_000;
const BATCH = 32;
const TASKSET = '/usr/bin/taskset';
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

/** Each subject's rate in this process. */
async function rates(alg, { type, options }) {
  const { jwk, publicKey, parts, tokens } = made(alg, type, options);
  const mine = { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] } };
  const [forgetful, remembering] = [new Verifier({ ...mine, remember: 0 }), new Verifier(mine)];
  const keySet = createLocalJWKSet({ keys: [jwk] });
  const key = await importJWK(jwk, alg);
  const demands = { issuer: ISSUER, audience: AUDIENCE, algorithms: [alg] };
  const raw = { key: publicKey, dsaEncoding: 'ieee-p1363' };
  const calls = {
    'flyte-auth': [tokens, (token) => forgetful.verify(token)],
    'jose (createLocalJWKSet)': [tokens, (token) => jwtVerify(token, keySet, demands)],
    'jose (imported key)': [tokens, (token) => jwtVerify(token, key, demands)],
    'flyte-auth, 32 at once': [tokens, (token) => forgetful.verify(token), inBatches],
    'jose (imported key), 32 at once': [tokens, (token) => jwtVerify(token, key, demands), inBatches],
    'node:crypto, signature alone': [
      parts,
      ({ signed, signature }) => {
        if (!verify('sha256', signed, raw, signature)) throw new Error('a good signature was refused');
      },
    ],
    'flyte-auth, seen before': [Array(COUNT).fill(tokens[0]), (token) => remembering.verify(token)],
  };
  const found = await inTurn(calls, 3, (call) => rate(...call));
  return Object.fromEntries(Object.entries(found).map(([name, each]) => [name, median(each)]));
}

/** The rates of several processes, by algorithm and subject. */
function gathered(processes, prefix = []) {
  const [program, ...words] = [...prefix, process.execPath, ...process.argv.slice(1), '--one'];
  const all = {};
  for (let left = processes; left > 0; left -= 1) {
    const said = execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    for (const [alg, found] of Object.entries(JSON.parse(said))) {
      for (const [name, each] of Object.entries(found)) ((all[alg] ??= {})[name] ??= []).push(each);
    }
  }
  return all;
}

/** Of each process jose's better rate. */
function joses(found) {
  return found['jose (imported key)'].map((each, at) => Math.max(each, found['jose (createLocalJWKSet)'][at]));
}

function rows(alg, found, { limit }) {
  const { 'flyte-auth, seen before': seen, ...others } = found;
  for (const [name, each] of Object.entries(others)) row(`${alg} token`, name, median(each), 'per second');
  row(`${alg} token seen before`, 'flyte-auth', median(seen), 'per second');
  const jose = joses(found);
  const times = `${alg} token, times jose's rate`;
  row(times, 'flyte-auth', ratio(found['flyte-auth'], jose), 'x');
  row(times, 'limit', limit, 'x');
  row(times, 'node:crypto, signature alone', ratio(found['node:crypto, signature alone'], jose), 'x');
  const [ours, theirs] = [found['flyte-auth, 32 at once'], found['jose (imported key), 32 at once']];
  row(times, 'flyte-auth, 32 at once', ratio(ours, theirs), 'x');
  row(`${alg} token seen before, times jose's rate`, 'flyte-auth', ratio(seen, jose), 'x');
  row(`${alg} token seen before, times jose's rate`, 'limit', limit, 'x');
}

if (process.argv.includes('--one')) {
  const found = {};
  for (const [alg, how] of Object.entries(ALGORITHMS)) found[alg] = await rates(alg, how);
  console.log(JSON.stringify(found));
} else {
  const processes = quick ? 5 : 15;
  const all = gathered(processes);
  for (const [alg, found] of Object.entries(all)) rows(alg, found, ALGORITHMS[alg]);
  if (existsSync(TASKSET)) {
    const [, core] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
    for (const [alg, found] of Object.entries(gathered(Math.ceil(processes / 3), [TASKSET, '-c', core]))) {
      for (const name of ['flyte-auth', 'node:crypto, signature alone']) {
        row(`${alg} token, times jose's rate, on one core alone`, name, ratio(found[name], joses(found)), 'x');
      }
    }
  }
}
