/**
 * A console on Fastify 4 or 5: signs people in at the identity provider, and verifies bearer tokens.
 *
 * ```js
 * app.register(flyteLogin, { issuer, clientId, clientSecret, baseURL, cookieKeys });
 * app.get('/console', { onRequest: requireLogin() }, async (request) => {
 *   const flyte = await fetch(url, { headers: await request.flyteAuth.session.headers() });
 * });
 * ```
 */

import { Readable } from 'node:stream';

import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';

import { configError } from './errors';
import type { WebResponse } from './native';
import { BearerCheck, type BearerOptions } from './relying_party/bearer';
import { DueCookies } from './relying_party/cookies';
import { nodeRequest } from './relying_party/node_http';
import type { FlyteLoginOptions } from './relying_party/options';
import { type Guard, type Outcome, Party } from './relying_party/party';
import type { OnProblem } from './relying_party/problems';
import { pairs, pathOf, readBody } from './relying_party/request';
import type { FlyteAuth } from './relying_party/types';

export type { BearerOptions } from './relying_party/bearer';
export type { FlyteLoginOptions } from './relying_party/options';
export type { FlyteAuth, User } from './relying_party/types';
export type { UserSession } from './relying_party/user_session';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is behind the request; set by `flyteLogin` and `requireBearer()`. */
    flyteAuth: FlyteAuth;
  }
}

/** A hook for `onRequest`, `preValidation` or `preHandler`. */
export type Hook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void;

type Done = (error?: Error) => void;

interface Visit {
  readonly party: Party;
  readonly cookies: DueCookies;
}

/** A request's relying party, for `requireLogin()` behind it. */
const visits = new WeakMap<FastifyRequest, Visit>();

// An adapter answers these; OPTIONS stays with the app, whose CORS rules it asks for.
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/**
 * Signs people in: a plugin whose options are `FlyteLoginOptions`. Answers `/login`, `/callback`, `/logout` and `/me`; on all
 * other requests of the app sets `request.flyteAuth`, and adds to the app's replies the cookies that a refreshed session
 * needs. What `session.token()` refreshes after the reply's head was sent cannot reach the browser.
 *
 * It fails with a `TypeError` (an option of an unknown name or of the wrong type) or a `ConfigError` (a value that cannot
 * be right; `setting` names it).
 */
export const flyteLogin: FastifyPluginAsync<FlyteLoginOptions> = Object.assign(plugin, {
  // As `fastify-plugin` marks them: hooks and decorators are for the whole app.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'flyte-auth',
  [Symbol.for('plugin-meta')]: { name: 'flyte-auth', fastify: '>=4.0.0' },
});

// Asynchronous: what another kind of plugin throws ends the process.
async function plugin(app: FastifyInstance, options: FlyteLoginOptions): Promise<void> {
  const party = new Party(options);
  app.decorateRequest('flyteAuth', null as unknown as FlyteAuth);
  app.addHook('onRequest', (request, reply, next) => {
    const visit = { party, cookies: new DueCookies() };
    visits.set(request, visit);
    // Answered by its own route, which has the body.
    if (party.paths.includes(pathOf(request.url))) next();
    else look(visit, 'none', request, reply, next);
  });
  app.addHook('onSend', (request, reply, _payload, next) => {
    for (const cookie of visits.get(request)?.cookies.now() ?? []) void reply.header('set-cookie', cookie);
    next();
  });
  await app.register((routes, _options, registered) => {
    // Bodies arrive unread here, whatever parsers the app has.
    routes.removeAllContentTypeParsers();
    routes.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload));
    for (const path of party.paths) {
      // A colon would name a parameter.
      routes.route({ method: [...METHODS], url: path.replaceAll(':', '::'), handler: answer });
    }
    registered();
  });
}

/**
 * Lets only signed-in users pass, behind the plugin `flyteLogin`. A browser that navigates is sent to sign in and comes
 * back; other requests get 401 as JSON; state-changing requests from other sites get 403.
 */
export function requireLogin(): Hook {
  return function requireLogin(request, reply, done) {
    const visit = visits.get(request);
    if (visit === undefined) {
      done(
        configError('login_missing', 'requireLogin() without flyteLogin', 'Call app.register(flyteLogin, {…}) first'),
      );
      return;
    }
    look(visit, 'login', request, reply, done);
  };
}

/**
 * Verifies access tokens of an API's callers and sets `request.flyteAuth.user` (the claims) and
 * `request.flyteAuth.token`. Refuses as RFC 6750 section 3 says.
 *
 * @throws {TypeError} an option of an unknown name or of the wrong type.
 * @throws {ConfigError} an option's value cannot be right; `setting` names it.
 */
export function requireBearer(options: BearerOptions): Hook {
  const bearer = new BearerCheck(options);
  return function requireBearer(request, reply, done) {
    settle(() => bearer.check(request.headers.authorization, logOf(request)), request, reply, done);
  };
}

/** A route of the relying party. */
async function answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { party, cookies } = visits.get(request) as Visit;
  const { raw, method, url } = request;
  const body = party.takesBody(method, url) ? await bodyOf(request) : undefined;
  const { response } = await party.handle(nodeRequest(raw, url, body), 'none', cookies, logOf(request));
  if (response !== undefined) return send(reply, response);
  reply.callNotFound();
  return reply;
}

function bodyOf({ body }: FastifyRequest): Promise<Buffer> {
  return readBody(body instanceof Readable ? body : undefined);
}

function look({ party, cookies }: Visit, guard: Guard, request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const seen = nodeRequest(request.raw, request.url);
  settle(() => party.handle(seen, guard, cookies, logOf(request)), request, reply, done);
}

/** The app's own log. */
function logOf(request: FastifyRequest): OnProblem {
  return (problem) => request.log.error(problem);
}

function settle(
  work: () => Outcome | Promise<Outcome>,
  request: FastifyRequest,
  reply: FastifyReply,
  done: Done,
): void {
  const settled = ({ response, auth }: Outcome): void => {
    if (response !== undefined) {
      send(reply, response);
      return;
    }
    request.flyteAuth = auth;
    done();
  };
  let outcome: Outcome | Promise<Outcome>;
  try {
    outcome = work();
  } catch (error) {
    done(error as Error);
    return;
  }
  if (outcome instanceof Promise) outcome.then(settled, done);
  else settled(outcome);
}

function send(reply: FastifyReply, answer: WebResponse): FastifyReply {
  void reply.code(answer.status);
  for (const [name, value] of pairs(answer.headers)) void reply.header(name, value);
  return reply.send(answer.body === '' ? undefined : answer.body);
}
