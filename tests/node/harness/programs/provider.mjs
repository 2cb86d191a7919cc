// The identity provider of the console's tests: npm's oidc-provider in a process of its own, on a free loopback port.
//
// Prints one JSON line when it is ready: {"issuer", "audience", "control"}; ends when its stdin closes, or on SIGTERM.
// Settings, by environment: PROVIDER_ACCESS_TTL, PROVIDER_REFRESH_TTL (seconds; 3600, 86400).
//
// Clients register themselves (RFC 7591), since an app's port is free and so unknown before. A user whose name begins
// with "large" gets claims of 2 kB, also in the access token.
//
// Under `control`, for tests: GET /events is the list of what it was asked to do (tokens as SHA-256, shortened); GET
// /secrets is every token that it issued; POST /keys signs with another key from now on; POST /revoke {user} ends all
// that this user was granted; POST /faults {path, status, client} has the next answer of `path` to this client fail.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

const seconds = (name, fallback) => Number(process.env[name] ?? fallback);
const audience = 'https://flyte.example/api';
const accessLifetime = seconds('PROVIDER_ACCESS_TTL', 3600);
const groups = Array.from({ length: 40 }, (_, index) => `team-${index}-of-a-company-with-a-long-name-for-each`);
const large = (id) => (id.startsWith('large') ? { groups } : {});
const digest = (token) => createHash('sha256').update(token).digest('hex').slice(0, 12);

const store = createMemoryAdapter();
const events = [];
const secrets = new Set();
const grants = new Map();
const faults = [];
let generation = 0;
let provider;
let answer;

function signingKey() {
  generation += 1;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${generation}`, use: 'sig', alg: 'RS256' };
}

function configuration() {
  return {
    adapter: store,
    jwks: { keys: [signingKey()] },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: id.includes('@') ? id : `${id}@example.org`,
        name: id,
        preferred_username: id,
        ...large(id),
      }),
    }),
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email'] },
    // Otherwise an ID token has `sub` alone, and everything else is at UserInfo.
    conformIdTokenClaims: false,
    scopes: ['openid', 'offline_access', 'profile', 'email', 'all'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    extraTokenClaims: (_ctx, token) => large(token.accountId ?? ''),
    ttl: {
      AccessToken: accessLifetime,
      AuthorizationCode: 60,
      ClientCredentials: accessLifetime,
      Grant: 86400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: seconds('PROVIDER_REFRESH_TTL', 86400),
      Session: 86400,
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'openid profile email offline_access all',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessLifetime,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    cookies: { keys: ['only for tests'] },
  };
}

function watched(provider) {
  provider.on('server_error', (_ctx, error) => console.error('server_error', error));
  provider.on('end_session.success', () => events.push({ kind: 'end_session' }));
  provider.use(async (ctx, next) => {
    const client = atob(/^Basic (.+)$/.exec(ctx.get('authorization'))?.[1] ?? '').split(':')[0];
    const at = faults.findIndex((fault) => fault.path === ctx.path && fault.client === client);
    if (at >= 0) {
      const [{ status }] = faults.splice(at, 1);
      events.push({ kind: 'fault', client });
      ctx.status = status;
      ctx.body = 'out of order';
      return;
    }
    await next();
    for (const kind of ['access_token', 'refresh_token', 'id_token']) {
      if (typeof ctx.body?.[kind] === 'string') secrets.add(ctx.body[kind]);
    }
    const { params } = ctx.oidc ?? {};
    if (ctx.path === '/token') {
      const presented = params?.refresh_token && digest(params.refresh_token);
      events.push({ kind: 'token', grant: params?.grant_type, status: ctx.status, client, presented });
      const { accountId, grantId } = ctx.oidc?.entities?.AccessToken ?? {};
      if (accountId) grants.set(grantId, accountId);
    } else if (ctx.path === '/token/revocation') {
      events.push({ kind: 'revocation', status: ctx.status, client, hint: params?.token_type_hint });
    }
  });
  return provider;
}

// A provider's keys are its for life; another one with another key knows what was issued by the common store.
function make() {
  provider = watched(new Provider(issuer, configuration()));
  answer = provider.callback();
}

async function control(request, path, body) {
  if (path === '/events') return events;
  if (path === '/secrets') return [...secrets];
  if (path === '/keys') make();
  else if (path === '/faults') faults.push(body);
  else if (path === '/revoke') {
    for (const [grantId, user] of grants) {
      if (user === body.user) {
        await provider.RefreshToken.revokeByGrantId(grantId);
        await provider.AccessToken.revokeByGrantId(grantId);
        grants.delete(grantId);
      }
    }
  } else throw new Error(`no ${request.method} ${path}`);
  return {};
}

async function answerControl(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const answer = await control(request, request.url, JSON.parse(Buffer.concat(chunks).toString() || '{}'));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
}

const listening = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

// The issuer's name holds the port, so the port comes first.
const server = createServer((request, response) => answer(request, response));
const issuer = `http://127.0.0.1:${await listening(server)}`;
make();
const controlPort = await listening(createServer((request, response) => void answerControl(request, response)));

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer, audience, control: `http://127.0.0.1:${controlPort}` }));
