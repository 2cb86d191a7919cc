// Nanoseconds of "give me the token" with a fresh one in memory: `node warm.mjs [--quick]`.
//
// From the environment: BENCH_ENDPOINT (a Flyte endpoint), BENCH_CLIENT_ID, BENCH_CLIENT_SECRET. msal-node speaks to
// Microsoft's hosts alone: what answers it here is a stand-in in this process, and asked once.
import { ConfidentialClientApplication } from '@azure/msal-node';
import { Session } from 'flyte-auth';
import { ClientCredentials } from 'simple-oauth2';

import { inTurn, median, quick, row } from './common.mjs';

const { BENCH_ENDPOINT: endpoint, BENCH_CLIENT_ID: clientId, BENCH_CLIENT_SECRET: clientSecret } = process.env;
const TOKEN = 'x'.repeat(900);
const GRANT = { access_token: TOKEN, expires_in: 7200, token_type: 'Bearer' };

/** Nanoseconds of one call that gives a promise. */
async function awaited(count, call) {
  const begun = process.hrtime.bigint();
  for (let at = 0; at < count; at += 1) await call();
  return Number(process.hrtime.bigint() - begun) / count;
}

/** Nanoseconds of one call that gives its answer at once. */
function atOnce(count, call) {
  const begun = process.hrtime.bigint();
  for (let at = 0; at < count; at += 1) call();
  return Number(process.hrtime.bigint() - begun) / count;
}

function msalNode() {
  const origin = 'https://login.example/tenant';
  const metadata = {
    authorization_endpoint: `${origin}/oauth2/v2.0/authorize`,
    token_endpoint: `${origin}/oauth2/v2.0/token`,
    jwks_uri: `${origin}/discovery/v2.0/keys`,
    issuer: `${origin}/v2.0`,
  };
  const answer = async (body) => ({ status: 200, headers: {}, body });
  const networkClient = {
    sendGetRequestAsync: () => answer(metadata),
    sendPostRequestAsync: () => answer(GRANT),
  };
  const auth = { clientId, clientSecret, authority: origin, knownAuthorities: ['login.example'] };
  const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
  const request = { scopes: ['all/.default'] };
  return async () => (await app.acquireTokenByClientCredential(request)).accessToken;
}

function simpleOauth2() {
  const client = { client: { id: clientId, secret: clientSecret }, auth: { tokenHost: endpoint } };
  const token = new ClientCredentials(client).createToken({ ...GRANT, expires_at: new Date(Date.now() + 7_200_000) });
  return () => (token.expired() ? undefined : token.token.access_token);
}

const session = Session.forEndpoint(endpoint, { authType: 'ClientSecret', clientId, clientSecret, store: 'memory' });
const msal = msalNode();
const simple = simpleOauth2();
if (!(await session.token()) || !session.tryToken() || (await msal()) !== TOKEN || simple() !== TOKEN) {
  throw new Error('a subject has no token');
}

const fast = quick ? 20_000 : 100_000;
const slow = fast / 20;
const cases = {
  'warm token()': { 'flyte-auth': [awaited, fast, () => session.token()], 'msal-node': [awaited, slow, msal] },
  'warm headers()': {
    'flyte-auth': [awaited, fast, () => session.headers()],
    'msal-node': [awaited, slow, async () => ({ authorization: `Bearer ${await msal()}` })],
  },
  'tryToken()': {
    'flyte-auth': [atOnce, 10 * fast, () => session.tryToken()],
    'simple-oauth2 expired()': [atOnce, 10 * fast, simple],
  },
};
for (const [name, subjects] of Object.entries(cases)) {
  const isFast = name === 'tryToken()';
  const times = await inTurn(subjects, quick ? 7 : 21, ([measure, count, call]) => measure(count, call));
  for (const [subject, each] of Object.entries(times)) {
    row(name, subject, isFast ? median(each) : median(each) / 1000, isFast ? 'ns' : 'us');
  }
}
