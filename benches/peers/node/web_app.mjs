// A console on Express in a process of its own, with the sign-in of one subject, for `web.mjs`, which speaks to it by
// stdin: {"port": 0}, answered by {"port"}; {"kind", "issuer", "clientId", "clientSecret", "baseURL", "secret"},
// answered by {"ready"}; then each line asks for the microseconds of CPU it has used so far, answered by {"cpu"}.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import express from 'express';

const SCOPE = 'openid profile email offline_access';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const heard = async () => JSON.parse((await lines.next()).value);
const said = (message) => console.log(JSON.stringify(message));
const hello = (userOf) => (req, res) => res.type('text').send(`Hello ${userOf(req).sub}`);

const kinds = {
  async 'flyte-auth'(app, { secret, ...login }) {
    const { flyteLogin, requireLogin } = await import('flyte-auth/express');
    app.use(flyteLogin({ ...login, cookieKeys: [secret], scopes: SCOPE.split(' ') }));
    app.get(
      '/console',
      requireLogin(),
      hello((req) => req.flyteAuth.user),
    );
  },
  // As it is by default; without `rolling` it seals its cookie with each answer too.
  async 'express-openid-connect'(app, { issuer, clientId, clientSecret, baseURL, secret }) {
    const { default: openid } = await import('express-openid-connect');
    app.use(
      openid.auth({
        ...{ issuerBaseURL: issuer, baseURL, clientID: clientId, clientSecret, secret, authRequired: false },
        authorizationParams: { response_type: 'code', response_mode: 'query', scope: SCOPE },
      }),
    );
    app.get(
      '/console',
      openid.requiresAuth(),
      hello((req) => req.oidc.user),
    );
  },
  async 'Express alone'(app) {
    app.get(
      '/console',
      hello(() => ({ sub: 'alice' })),
    );
  },
};

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0));

const server = createServer({ maxHeaderSize: 64 * 1024 });
const { port } = await heard();
server.listen(port, '127.0.0.1', () => said({ port: server.address().port }));
const { kind, ...settings } = await heard();
const app = express();
await kinds[kind](app, settings);
server.on('request', app);
said({ ready: true });
for await (const _ of lines) {
  const { user, system } = process.cpuUsage();
  said({ cpu: user + system });
}
