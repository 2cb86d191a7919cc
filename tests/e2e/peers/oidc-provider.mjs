// An independent authorization server for the tests: npm's oidc-provider on a free loopback port.
//
// Prints one JSON line when it is ready: {"issuer", "address", "clients": [{client_id, client_secret, method}], "audience"}.
// Ends on SIGTERM, or when its stdin closes with OIDC_EXIT_WITH_STDIN=1.
//
// Settings, all by environment:
//   OIDC_ACCESS_TTL, OIDC_REFRESH_TTL, OIDC_DEVICE_TTL   seconds (3600, 86400, 300)
//   OIDC_ROTATE=0                                        keep refresh tokens (default: rotate)
//   OIDC_FORMAT=opaque                                   opaque access tokens (default: at+jwt)
//   OIDC_AUDIENCE                                        audience of JWT access tokens
//   OIDC_EXTRA_CLIENTS                                   JSON list of further clients, in oidc-provider's own form
//   OIDC_PADDING                                         length of a claim `groups` in every ID token
//   OIDC_NO_DEVICE=1                                     no device grant
//   OIDC_TRACE                                           a file that gets a line for every exchange of a refresh token
//   FLYTE_AUTH_TESTING_SECRETS                           a file that gets a line for every secret issued: kind, tab, secret
//   OIDC_ISSUER                                          the name it goes by behind a reverse proxy (default: its own address)
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const env = process.env;
const seconds = (name, fallback) => (env[name] === undefined ? fallback : Number(env[name]));
const audience = env.OIDC_AUDIENCE ?? 'https://flyte.example/api';
const resourceScopes = 'all offline';

const padding = env.OIDC_PADDING === undefined ? {} : { groups: ['x'.repeat(Number(env.OIDC_PADDING))] };

const device = env.OIDC_NO_DEVICE !== '1';
const signedInGrants = ['authorization_code', 'refresh_token', ...(device ? ['urn:ietf:params:oauth:grant-type:device_code'] : [])];
const machine = (client_id, client_secret, token_endpoint_auth_method) => ({
  client_id,
  client_secret,
  token_endpoint_auth_method,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const clients = [
  {
    client_id: 'flytectl',
    client_name: 'Flyte command line',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: signedInGrants,
    response_types: ['code'],
    // A native client's 127.0.0.1 redirect matches any port (RFC 8252 section 7.3).
    redirect_uris: ['http://localhost:53593/callback', 'http://127.0.0.1/callback'],
  },
  machine('ci-basic', 'basic-secret-0123456789', 'client_secret_basic'),
  machine('ci-post', 'post-secret-0123456789', 'client_secret_post'),
  // Each of these characters means something else in a form, in a Basic header or in a URL.
  machine('ci:symbols+a/b%20=&', 'p:a+s%/s&w=o?r#d 100%25', 'client_secret_basic'),
  machine('ci-post-symbols', 'p:a+s%/s&w=o?r#d 100%25', 'client_secret_post'),
  ...JSON.parse(env.OIDC_EXTRA_CLIENTS ?? '[]'),
];

function configuration() {
  return {
    clients,
    // CORS is not under test, and a missing account is how a deleted user looks.
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id.includes('@') ? id : `${id}@example.org`, name: id, preferred_username: id, ...padding }),
    }),
    claims: { openid: ['sub', ...Object.keys(padding)], profile: ['name', 'preferred_username'], email: ['email'] },
    conformIdTokenClaims: env.OIDC_PADDING === undefined,
    scopes: ['openid', 'offline_access', 'profile', 'email', ...resourceScopes.split(' ')],
    pkce: { required: (_ctx, client) => client.clientAuthMethod === 'none' },
    rotateRefreshToken: env.OIDC_ROTATE !== '0',
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: {
      AccessToken: seconds('OIDC_ACCESS_TTL', 3600),
      ClientCredentials: seconds('OIDC_ACCESS_TTL', 3600),
      RefreshToken: seconds('OIDC_REFRESH_TTL', 86400),
      DeviceCode: seconds('OIDC_DEVICE_TTL', 300),
      AuthorizationCode: 60,
      IdToken: 3600,
      Interaction: 600,
      Session: 86400,
      Grant: 86400,
    },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: device },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: env.OIDC_FORMAT !== 'opaque',
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: `openid profile email offline_access ${resourceScopes}`,
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: seconds('OIDC_ACCESS_TTL', 3600),
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    cookies: { keys: ['only for tests'] },
  };
}

// The issuer's name holds the port, so the port comes first.
const server = createServer();
await new Promise((resolve) => server.listen(Number(env.OIDC_PORT ?? 0), '127.0.0.1', resolve));
const address = `http://127.0.0.1:${server.address().port}`;
const issuer = env.OIDC_ISSUER ?? address;
const provider = new Provider(issuer, configuration());
provider.on('server_error', (_ctx, error) => console.error('server_error', error));
if (env.OIDC_LOG) {
  provider.use(async (ctx, next) => {
    await next();
    console.error(ctx.method, ctx.path, ctx.status, ctx.body?.error ?? '');
  });
}
if (env.FLYTE_AUTH_TESTING_SECRETS) {
  const kinds = ['access_token', 'refresh_token', 'id_token', 'device_code', 'user_code'];
  const made = (kind, secret) => appendFileSync(env.FLYTE_AUTH_TESTING_SECRETS, `${kind}\t${secret}\n`);
  provider.use(async (ctx, next) => {
    await next();
    for (const kind of kinds) {
      if (typeof ctx.body?.[kind] === 'string') made(kind, ctx.body[kind]);
    }
    const code = /[?&]code=([^&]+)/.exec(ctx.response.get('location') ?? '');
    if (code) made('code', decodeURIComponent(code[1]));
  });
}
if (env.OIDC_TRACE) {
  const digest = (token) => createHash('sha256').update(token).digest('hex').slice(0, 12);
  provider.use(async (ctx, next) => {
    await next();
    const presented = ctx.oidc?.params?.refresh_token;
    if (ctx.path !== '/token' || !presented) return;
    const next_one = ctx.status === 200 ? digest(ctx.body.refresh_token ?? presented) : null;
    // The exchange is done, and its answer not sent yet; the clock is the machine's monotonic one.
    const line = { at: Number(process.hrtime.bigint()), process: process.pid, step: 'server.exchanged', presented: digest(presented), next: next_one };
    appendFileSync(env.OIDC_TRACE, `${JSON.stringify(line)}\n`);
  });
}
server.on('request', provider.callback());

const stop = () => process.exit(0);
process.on('SIGTERM', stop);
if (env.OIDC_EXIT_WITH_STDIN === '1') process.stdin.on('end', stop).resume();

console.log(JSON.stringify({
  issuer,
  address,
  audience,
  clients: clients.map(({ client_id, client_secret = null, token_endpoint_auth_method: method }) => ({ client_id, client_secret, method })),
}));
