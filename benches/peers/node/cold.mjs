// One process from cold to a client-credentials token, as each library's user would write it: `node cold.mjs SUBJECT`.
//
// From the environment: BENCH_TOKEN_ENDPOINT, BENCH_CLIENT_ID, BENCH_CLIENT_SECRET; for msal-node BENCH_AUTHORITY and
// NODE_EXTRA_CA_CERTS; for flyte-auth its own variables. The peers are given what flyte-auth discovers.
const {
  BENCH_TOKEN_ENDPOINT: endpoint,
  BENCH_CLIENT_ID: clientId,
  BENCH_CLIENT_SECRET: clientSecret,
  BENCH_AUTHORITY: authority,
} = process.env;

const subjects = {
  empty: () => true,

  async 'flyte-auth'() {
    const { Session } = await import('flyte-auth');
    return (await Session.fromConfig().token())?.value;
  },

  async 'simple-oauth2'() {
    const { ClientCredentials } = await import('simple-oauth2');
    const { origin, pathname } = new URL(endpoint);
    const auth = { tokenHost: origin, tokenPath: pathname };
    const found = await new ClientCredentials({ client: { id: clientId, secret: clientSecret }, auth }).getToken({});
    return found.token.access_token;
  },

  async oauth4webapi() {
    const oauth = await import('oauth4webapi');
    const server = { issuer: new URL(endpoint).origin, token_endpoint: endpoint };
    const [client, auth] = [{ client_id: clientId }, oauth.ClientSecretBasic(clientSecret)];
    const options = { [oauth.allowInsecureRequests]: true };
    const answer = await oauth.clientCredentialsGrantRequest(server, client, auth, {}, options);
    return (await oauth.processClientCredentialsResponse(server, client, answer)).access_token;
  },

  async 'openid-client'() {
    const openid = await import('openid-client');
    const server = { issuer: new URL(endpoint).origin, token_endpoint: endpoint };
    const config = new openid.Configuration(server, clientId, {}, openid.ClientSecretBasic(clientSecret));
    openid.allowInsecureRequests(config);
    return (await openid.clientCredentialsGrant(config)).access_token;
  },

  async 'msal-node'() {
    const { ConfidentialClientApplication } = await import('@azure/msal-node');
    const { host } = new URL(authority);
    const app = new ConfidentialClientApplication({
      auth: { clientId, clientSecret, authority, knownAuthorities: [host] },
    });
    return (await app.acquireTokenByClientCredential({ scopes: ['all/.default'] })).accessToken;
  },
};

const name = process.argv[2];
if (!(await subjects[name]())) throw new Error(`${name} got no token`);
