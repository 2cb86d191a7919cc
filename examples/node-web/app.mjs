// A console for Flyte: people sign in with a browser, and what it asks Flyte is asked in their name.
//
//     npm install express flyte-auth
//     ISSUER=… CLIENT_ID=… CLIENT_SECRET=… COOKIE_KEY=$(openssl rand -base64 32) BASE_URL=http://localhost:3000 \
//       FLYTE=https://flyte.example.org PORT=3000 node app.mjs
//
// Register `$BASE_URL/callback` as the redirect URI at the identity provider.
import express from 'express';
import { flyteLogin, requireLogin } from 'flyte-auth/express';

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env;
const { COOKIE_KEY: cookieKeys, BASE_URL: baseURL, FLYTE, PORT } = process.env;

const app = express();
app.use(flyteLogin({ issuer, clientId, clientSecret, baseURL, cookieKeys }));
app.get('/', requireLogin(), async (req, res) => {
  const { user, session } = req.flyteAuth;
  const flyte = await fetch(`${FLYTE}/me`, { headers: await session.headers() });
  res.json({ hello: user.name, flyte: await flyte.json() });
});
app.listen(PORT, '127.0.0.1', () => console.log(`{"url": "${baseURL}"}`));
