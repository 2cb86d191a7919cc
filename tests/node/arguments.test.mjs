// Every wrong argument of every public callable: a TypeError or ConfigError at once, which names the argument.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { beginLogin, ConfigError, login, Session, Verifier } from 'flyte-auth';
import { sandbox } from 'flyte-auth/testing';

import { movesIn } from './harness/home.mjs';
import { closedPort } from './harness/ports.mjs';

movesIn();
/** Where nobody listens: whoever calls it has taken the argument. */
const nowhere = `http://127.0.0.1:${await closedPort()}`;

class Odd {}

/** What is tried, by the name under which an option may say that it takes it. */
const VALUES = {
  null: null,
  number: 7,
  negative: -1,
  zero: 0,
  fraction: 1.5,
  NaN: NaN,
  huge: 1e300,
  bigint: 7n,
  boolean: true,
  symbol: Symbol('x'),
  buffer: Buffer.from('bytes'),
  odd: new Odd(),
  date: new Date(0),
  map: new Map([['a', 'b']]),
  'no list': [],
  'list of numbers': [1],
  'mixed list': ['a', 1],
  object: {},
  'object of numbers': { a: 1 },
  'boxed string': new String('text'),
  function: () => {},
  class: Odd,
  'no file URL': new URL('https://example.org'),
  text: 'no such thing',
  'half a character': 'a\ud800',
  'list of half a character': ['\udc00'],
  'object of half a character': { a: '\ud800' },
};
const TEXT = ['text'];
const FLAG = ['boolean'];
// What each option takes of VALUES.
const SESSION = {
  config: [],
  endpoint: [],
  profile: [],
  account: TEXT,
  store: [],
  interactive: [],
  insecure: FLAG,
  insecureSkipVerify: FLAG,
  caCert: [],
  clientCert: [],
  clientKey: [],
  httpProxyUrl: [],
  authType: [],
  clientId: TEXT,
  clientSecret: [],
  issuer: [],
  scopes: ['no list'],
  audience: TEXT,
  extraParams: ['object'],
};
const SIGNAL = { signal: [] };
const BEGIN = { flow: [], noBrowser: FLAG, timeout: ['number', 'fraction'], ...SIGNAL };
const LOGIN = {
  ...BEGIN,
  onEvent: ['function', 'class'],
  openBrowser: ['function', 'class'],
  paste: ['function', 'class'],
};
const VERIFIER = {
  issuer: [],
  audience: ['text', 'no list'],
  anyAudience: FLAG,
  jwks: [],
  jwksUri: [],
  algorithms: [],
  profile: [],
  clockSkew: ['number', 'fraction', 'zero'],
  requiredScopes: ['no list'],
  introspectionClientId: TEXT,
  introspectionClientSecret: TEXT,
  introspectionEndpoint: [],
  remember: ['number', 'zero'],
  plaintext: FLAG,
};

/** How `work()` refuses `name`, if that is wrong; null if it does, by that name and at once. */
async function refusal(work, name) {
  const begin = performance.now();
  try {
    await work();
    return 'was taken';
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof ConfigError)) return String(error);
    const { message } = error;
    // Also as metadata calls it: `jwks_uri`.
    if (!message.replaceAll('_', '').toLowerCase().includes(name.toLowerCase()) && error.setting !== name)
      return `is not named: ${message}`;
    if (message.length >= 400 || message.includes('\n')) return `that is no line: ${message}`;
    return performance.now() - begin < 2000 ? null : 'not at once';
  }
}

/** Fails with everything that is taken, or not refused by that name. */
async function expectRefused(table, calls) {
  const faults = [];
  for (const [name, takes] of Object.entries(table)) {
    for (const [kind, value] of Object.entries(VALUES)) {
      if (takes.includes(kind)) continue;
      for (const call of calls) {
        const fault = await refusal(() => call({ [name]: value }), name);
        if (fault) faults.push(`${name} (${kind}) ${fault}`);
      }
    }
  }
  assert.deepEqual(faults, []);
}

test('of a session', () =>
  expectRefused(SESSION, [
    (options) => new Session({ endpoint: nowhere, ...options }),
    (options) => Session.fromConfig({ endpoint: nowhere, ...options }),
    (options) => login({ endpoint: nowhere, ...options }),
    (options) => beginLogin({ endpoint: nowhere, ...options }),
  ]));

test('of a session for an endpoint', async () => {
  const { endpoint, ...others } = SESSION;
  await expectRefused(others, [(options) => Session.forEndpoint(nowhere, options)]);
  await expectRefused({ endpoint }, [(options) => Session.forEndpoint(options.endpoint)]);
  // Said twice, it would be unclear which counts.
  assert.throws(() => Session.forEndpoint(nowhere, { endpoint: nowhere }), /no option endpoint/);
});

test('what a session takes, it takes', () => {
  for (const [name, takes] of Object.entries(SESSION)) {
    for (const kind of takes) new Session({ endpoint: nowhere, [name]: VALUES[kind] });
  }
});

test('of a login', async () => {
  const session = new Session({ endpoint: nowhere });
  await expectRefused(LOGIN, [
    (options) => session.login({ onEvent: () => {}, ...options }),
    (options) => login({ endpoint: nowhere, onEvent: () => {}, ...options }),
  ]);
  await expectRefused(BEGIN, [(options) => session.beginLogin(options)]);
});

test('of the other waits', async () => {
  const session = new Session({ endpoint: nowhere });
  const waits = ['token', 'headers', 'status', 'whoami', 'logout'];
  await expectRefused(
    SIGNAL,
    waits.map((name) => (options) => session[name](options)),
  );
  await expectRefused({ revoke: FLAG }, [(options) => session.logout(options)]);
});

test('of invalidate', () => {
  const session = new Session({ endpoint: nowhere });
  for (const value of Object.values(VALUES)) assert.throws(() => session.invalidate(value), /token must be a Token/);
  session.invalidate();
  session.invalidate(undefined);
});

test('of a verifier', async () => {
  const well = { issuer: 'https://idp.example', anyAudience: true, introspectionClientId: 'x' };
  await expectRefused(VERIFIER, [(options) => new Verifier({ ...well, introspectionClientSecret: 'y', ...options })]);
  assert.throws(() => new Verifier(), /issuer must be a string, not undefined/);
});

test('of a verification', async () => {
  const verifier = new Verifier({ issuer: 'https://idp.example', anyAudience: true, jwks: { keys: [] } });
  const all = Object.values(VALUES).filter((value) => value !== VALUES.text);
  for (const value of [...all, undefined]) {
    await assert.rejects(verifier.verify(value), { name: 'TypeError', message: /^token must be a string/ });
    await assert.rejects(verifier.verifyIdToken(value, { clientId: 'x' }), /^TypeError: token must be/);
    await assert.rejects(verifier.verifyLogoutToken('x', { clientId: value }), /^TypeError: clientId must be/);
  }
  const table = { clientId: TEXT, nonce: TEXT, accessToken: TEXT, signal: [] };
  await expectRefused(table, [(options) => verifier.verifyIdToken('x', { clientId: 'x', ...options })]);
  await assert.rejects(verifier.verifyIdToken('x'), /clientId must be a string, not undefined/);
});

test('of a sandbox', () =>
  expectRefused(
    {
      tls: FLAG,
      generation: TEXT,
      autoApprove: TEXT,
      accessTokenLifetime: ['zero'],
      refreshTokenLifetime: ['zero'],
      rotateRefreshTokens: FLAG,
      clients: ['no list'],
      externalIssuer: TEXT,
      readyWithin: ['number', 'fraction'],
    },
    [async (options) => (await sandbox({ readyWithin: 1, ...options })).close()],
  ));

test('an option that is none', async () => {
  const session = new Session({ endpoint: nowhere });
  const verifier = { issuer: 'https://idp.example', anyAudience: true };
  const calls = [
    (options) => Session.fromConfig(options),
    (options) => Session.forEndpoint(nowhere, options),
    (options) => login(options),
    (options) => beginLogin(options),
    (options) => new Verifier({ ...verifier, ...options }),
    (options) => sandbox(options),
    ...['token', 'headers', 'status', 'whoami', 'logout', 'login', 'beginLogin'].map(
      (name) => (options) => session[name](options),
    ),
  ];
  for (const call of calls) {
    for (const name of ['endpiont', 'constructor', '__proto_', 'toString']) {
      assert.match(await refused(() => call({ [name]: 'x' })), new RegExp(`there is no option ${name}`));
    }
    // The name of what was meant for a value.
    assert.doesNotMatch(await refused(() => call({ 'made-up:secret!value-of-a-person': 1 })), /value-of-a-person/);
  }
});

test('the option that was meant', async () => {
  for (const [said, meant] of [
    ['endpiont', 'endpoint'],
    ['Endpoint', 'endpoint'],
    ['client_id', 'clientId'],
    ['client-secret', 'clientSecret'],
    ['scope', 'scopes'],
    ['caCerts', 'caCert'],
    ['authtype', 'authType'],
  ]) {
    assert.throws(() => new Session({ [said]: 'x' }), {
      message: `there is no option ${said}; did you mean ${meant}?`,
    });
  }
  assert.throws(() => new Session({ password: 'x' }), { message: 'there is no option password' });
});

test('options that are no object', async () => {
  const session = new Session({ endpoint: nowhere });
  for (const value of [null, 7, 'config.yaml', [], new Map(), () => {}, new AbortController().signal]) {
    for (const call of [
      () => new Session(value),
      () => session.token(value),
      () => session.login(value),
      () => login(value),
    ]) {
      assert.match(await refused(call), /^options must be an object, not /);
    }
  }
});

test('what is undefined is not given', async () => {
  const names = Object.keys(SESSION).filter((name) => name !== 'endpoint');
  const session = new Session({ endpoint: nowhere, ...Object.fromEntries(names.map((name) => [name, undefined])) });
  await assert.rejects(session.token({ signal: undefined }), { name: 'NetworkError' });
});

test('a value is never in the message', async () => {
  const secret = 'made-up-secret-of-a-test';
  const calls = [
    () => new Session({ clientSecret: [secret] }),
    () => new Session({ scopes: secret }),
    () => new Session({ extraParams: [secret] }),
    () => new Verifier({ issuer: 'https://idp.example', remember: secret }),
  ];
  for (const call of calls) assert.doesNotMatch(await refused(call), /made-up/);
});

async function refused(call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof TypeError, String(error));
    return error.message;
  }
  return assert.fail('was taken');
}
