/**
 * A console on Express 4 or 5: signs people in at the identity provider, and verifies bearer tokens.
 *
 * ```js
 * app.use(flyteLogin({ issuer, clientId, clientSecret, baseURL, cookieKeys }));
 * app.get('/console', requireLogin(), async (req, res) => {
 *   const flyte = await fetch(url, { headers: await req.flyteAuth.session.headers() });
 * });
 * ```
 */

import type { IncomingMessage, ServerResponse } from 'node:http';

import { configError } from './errors';
import { BearerCheck, type BearerOptions } from './relying_party/bearer';
import { DueCookies } from './relying_party/cookies';
import { addWhenSent, nodeBody, nodeRequest, send } from './relying_party/node_http';
import type { FlyteLoginOptions } from './relying_party/options';
import { type Guard, type Outcome, Party } from './relying_party/party';
import type { FlyteAuth } from './relying_party/types';

export type { BearerOptions } from './relying_party/bearer';
export type { FlyteLoginOptions } from './relying_party/options';
export type { FlyteAuth, User } from './relying_party/types';
export type { UserSession } from './relying_party/user_session';

declare global {
  // Express' own types read this name, in 4 and in 5.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
      /** Who is behind the request; set by `flyteLogin()` and `requireBearer()`. */
      flyteAuth: FlyteAuth;
    }
  }
}

/** What Express 4 and 5 give a middleware, as far as it is used here. */
export interface ExpressRequest extends IncomingMessage {
  originalUrl?: string;
  body?: unknown;
  flyteAuth: FlyteAuth;
}

/** A middleware of Express 4 and 5. */
export type Middleware = (request: ExpressRequest, response: ServerResponse, next: (error?: unknown) => void) => void;

interface Visit {
  readonly party: Party;
  readonly cookies: DueCookies;
}

/** A request's relying party, for `requireLogin()` behind it. */
const visits = new WeakMap<IncomingMessage, Visit>();

/**
 * Signs people in. Answers `/login`, `/callback`, `/logout` and `/me`; on all other requests sets `req.flyteAuth`, and
 * adds to the app's response the cookies that a refreshed session needs. What `session.token()` refreshes after the
 * response's head was sent cannot reach the browser.
 *
 * @throws {TypeError} an option of an unknown name or of the wrong type.
 * @throws {ConfigError} an option's value cannot be right; `setting` names it.
 */
export function flyteLogin(options: FlyteLoginOptions): Middleware {
  const party = new Party(options);
  return function flyteLogin(request, response, next) {
    const visit = { party, cookies: new DueCookies() };
    visits.set(request, visit);
    addWhenSent(response, visit.cookies);
    look(visit, 'none', request, response, next);
  };
}

/**
 * Lets only signed-in users pass, behind `flyteLogin()`. A browser that navigates is sent to sign in and comes back;
 * other requests get 401 as JSON; state-changing requests from other sites get 403.
 */
export function requireLogin(): Middleware {
  return function requireLogin(request, response, next) {
    const visit = visits.get(request);
    if (visit === undefined) {
      next(
        configError('login_missing', 'requireLogin() stands before flyteLogin()', 'Put app.use(flyteLogin({…})) first'),
      );
      return;
    }
    look(visit, 'login', request, response, next);
  };
}

/**
 * Verifies access tokens of an API's callers and sets `req.flyteAuth.user` (the claims) and `req.flyteAuth.token`.
 * Refuses as RFC 6750 section 3 says.
 *
 * @throws {TypeError} an option of an unknown name or of the wrong type.
 * @throws {ConfigError} an option's value cannot be right; `setting` names it.
 */
export function requireBearer(options: BearerOptions): Middleware {
  const bearer = new BearerCheck(options);
  return function requireBearer(request, response, next) {
    settle(() => bearer.check(request.headers.authorization), request, response, next);
  };
}

type Next = (error?: unknown) => void;

function look(
  { party, cookies }: Visit,
  guard: Guard,
  request: ExpressRequest,
  response: ServerResponse,
  next: Next,
): void {
  const target = request.originalUrl ?? request.url ?? '/';
  const handle = (body?: Buffer): Outcome | Promise<Outcome> =>
    party.handle(nodeRequest(request, target, body), guard, cookies);
  const takesBody = party.takesBody(request.method ?? '', target);
  settle(() => (takesBody ? nodeBody(request).then(handle) : handle()), request, response, next);
}

function settle(
  work: () => Outcome | Promise<Outcome>,
  request: ExpressRequest,
  response: ServerResponse,
  next: Next,
): void {
  const settled = ({ response: answer, auth }: Outcome): void => {
    if (answer !== undefined) {
      send(response, answer);
      return;
    }
    request.flyteAuth = auth;
    next();
  };
  let outcome: Outcome | Promise<Outcome>;
  try {
    outcome = work();
  } catch (error) {
    next(error);
    return;
  }
  if (outcome instanceof Promise) outcome.then(settled, next);
  else settled(outcome);
}
