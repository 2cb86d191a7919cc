/**
 * A console on anything that speaks Web `Request` and `Response` (Hono, Next.js, Remix, Deno, Bun): signs people in at
 * the identity provider, and verifies bearer tokens.
 *
 * ```js
 * const login = flyteLogin({ issuer, clientId, clientSecret, baseURL, cookieKeys });
 *
 * async function serve(request) {
 *   const { response, user, apply } = await login.requireLogin(request);
 *   return response ?? apply(new Response(`hello ${user.name}`));
 * }
 * ```
 */

import { configError } from './errors';
import type { WebResponse } from './native';
import { BearerCheck, type BearerOptions } from './relying_party/bearer';
import { DueCookies } from './relying_party/cookies';
import type { FlyteLoginOptions } from './relying_party/options';
import { type Guard, Party } from './relying_party/party';
import { pairs, readBody, webRequest } from './relying_party/request';
import type { FlyteAuth } from './relying_party/types';

export type { BearerOptions } from './relying_party/bearer';
export type { FlyteLoginOptions } from './relying_party/options';
export type { FlyteAuth, User } from './relying_party/types';
export type { UserSession } from './relying_party/user_session';

/** Who is behind a request, and what to do with it. */
export interface Visit extends FlyteAuth {
  /** What to answer instead of the app; undefined: the request is the app's. */
  readonly response: Response | undefined;
  /** Adds the cookies that a refreshed session needs to the app's response; call it last. */
  readonly apply: (response: Response) => Response;
}

/** One web app's sign-in. Its functions need no `this`. */
export interface FlyteLogin {
  /** Answers `/login`, `/callback`, `/logout` and `/me`; any other request with 404. */
  readonly handler: (request: Request) => Promise<Response>;
  /** Who is behind the request. `response` is set for the four routes alone. */
  readonly authenticate: (request: Request) => Promise<Visit>;
  /**
   * As `authenticate`, and `response` is also set if nobody is signed in: a browser that navigates is sent to sign in
   * and comes back; other requests get 401 as JSON; state-changing requests from other sites get 403.
   */
  readonly requireLogin: (request: Request) => Promise<Visit>;
}

/**
 * A web app's sign-in.
 *
 * @throws {TypeError} an option of an unknown name or of the wrong type.
 * @throws {ConfigError} an option's value cannot be right; `setting` names it.
 */
export function flyteLogin(options: FlyteLoginOptions): FlyteLogin {
  const party = new Party(options);
  const look = async (request: Request, guard: Guard): Promise<Visit> => {
    const cookies = new DueCookies();
    const url = new URL(request.url);
    const target = url.pathname + url.search;
    const body = party.takesBody(request.method, target) ? await bodyOf(request) : undefined;
    const header = (name: string): string | null => request.headers.get(name);
    const { response, auth } = await party.handle(webRequest(request.method, target, header, body), guard, cookies);
    const { user, session, token } = auth;
    return {
      user,
      session,
      token,
      response: response && responseOf(response),
      apply: (to) => withCookies(to, cookies),
    };
  };
  return {
    handler: async (request) => (await look(request, 'none')).response ?? new Response('Not found', { status: 404 }),
    authenticate: (request) => look(request, 'none'),
    requireLogin: (request) => look(request, 'login'),
  };
}

/**
 * Verifies access tokens of an API's callers; `user` has the claims, `token` the verified token. `response` is set where
 * RFC 6750 section 3 refuses.
 *
 * @throws {TypeError} an option of an unknown name or of the wrong type.
 * @throws {ConfigError} an option's value cannot be right; `setting` names it.
 */
export function requireBearer(options: BearerOptions): (request: Request) => Promise<Omit<Visit, 'apply'>> {
  const bearer = new BearerCheck(options);
  return async (request) => {
    const { response, auth } = await bearer.check(request.headers.get('authorization') ?? undefined);
    const { user, session, token } = auth;
    return { user, session, token, response: response && responseOf(response) };
  };
}

async function bodyOf(request: Request): Promise<Buffer> {
  if (request.bodyUsed) {
    const what = 'the body of the request was read before';
    throw configError('body_used', what, 'Call flyte-auth first, or give it request.clone()');
  }
  return readBody(request.body ?? undefined);
}

function responseOf({ status, headers, body }: WebResponse): Response {
  // A response without content is of null alone.
  return new Response(body === '' ? null : body, { status, headers: [...pairs(headers)] });
}

function withCookies(response: Response, cookies: DueCookies): Response {
  const due = cookies.now();
  if (due.length === 0) return response;
  const add = (headers: Headers): void => due.forEach((cookie) => headers.append('set-cookie', cookie));
  try {
    add(response.headers);
    return response;
  } catch {
    // What came of `fetch` or `Response.redirect` cannot be changed.
    const headers = new Headers(response.headers);
    add(headers);
    const { body, status, statusText } = response;
    return new Response(body, { status, statusText, headers });
  }
}
