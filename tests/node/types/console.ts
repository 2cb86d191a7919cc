// What users of the console side write, for the type checker alone. Every `@ts-expect-error` must be one.
import { Auth } from '@auth/core';
import express from 'express';
import { FlyteProvider } from 'flyte-auth/authjs';
import { flyteLogin, requireBearer, requireLogin, type User, type UserSession } from 'flyte-auth/express';
import * as inFastify from 'flyte-auth/fastify';
import * as onTheWeb from 'flyte-auth/web';
import Fastify from 'fastify';
import { Verifier, type FlyteAuthError, type TokenSource, type VerifiedToken } from 'flyte-auth';

const options = { issuer: 'https://idp', clientId: 'c', clientSecret: 's', baseURL: 'https://app', cookieKeys: ['k'] };
const bearer = { issuer: 'https://idp', audience: 'https://api', scopes: ['all'], realm: 'things' };
const onProblem = (problem: FlyteAuthError): void => console.error(problem.message);

const app = express();
app.use(flyteLogin({ ...options, baseURL: new URL('https://app'), cookieKeys: 'one', onProblem }));
app.get('/console', requireLogin(), async (req, res) => {
  const user: User | undefined = req.flyteAuth.user;
  const session: UserSession | undefined = req.flyteAuth.session;
  const source: TokenSource | undefined = session;
  res.json({ email: user?.email, expires: source?.tryToken()?.expiresAt, headers: await session?.headers() });
});
app.use('/api', requireBearer(bearer), (req, res) => {
  const token: VerifiedToken | undefined = req.flyteAuth.token;
  res.json(token?.scopes);
});
app.use(
  '/api',
  requireBearer({ verifier: new Verifier({ issuer: 'https://idp', anyAudience: true }), scopes: ['all'] }),
);

const fastify = Fastify();
void fastify.register(inFastify.flyteLogin, options);
fastify.get('/console', { onRequest: inFastify.requireLogin() }, async (request) => {
  const { user, session } = request.flyteAuth;
  return { email: user?.email, token: (await session?.token({ signal: AbortSignal.timeout(1000) }))?.headerName };
});
fastify.get(
  '/api',
  { preHandler: [inFastify.requireBearer(bearer)] },
  async (request) => request.flyteAuth.token?.subject,
);

const { handler, authenticate } = onTheWeb.flyteLogin(options);
const checked = onTheWeb.requireBearer(bearer);
export const routes: ((request: Request) => Promise<Response>)[] = [
  handler,
  async (request) => {
    const { response, user, apply } = await authenticate(request);
    return response ?? apply(new Response(user?.name));
  },
  async (request) => {
    const { response, token } = await checked(request);
    return response ?? new Response(token?.subject);
  },
];

void Auth(new Request('https://app'), { providers: [FlyteProvider(options)] });

// @ts-expect-error there is no such option
flyteLogin({ ...options, isuer: 'https://idp' });
// @ts-expect-error it is needed
flyteLogin({ issuer: 'https://idp', clientId: 'c', baseURL: 'https://app' });
// @ts-expect-error one of three
flyteLogin({ ...options, sameSite: 'sometimes' });
// @ts-expect-error a list
requireBearer({ ...bearer, scopes: 'all' });
// @ts-expect-error nothing to verify with
requireBearer({ scopes: ['all'] });
