/** What a console is configured with, checked for names and types. What the values mean is Rust's to decide. */

import { checked, type Table } from '../arguments';
import type { FlyteAuthError } from '../errors';
import type { SessionStore } from './store';

/** How a web app signs people in. Times are milliseconds. */
export interface FlyteLoginOptions {
  /** The identity provider: `issuer` of its metadata (RFC 8414, OpenID Connect Discovery 1.0), exactly. */
  issuer: string;
  /** `client_id` that the provider knows this app by. */
  clientId: string;
  /** `client_secret`; without one the app is a public client (PKCE alone). */
  clientSecret?: string | undefined;
  /**
   * Where browsers reach this app, for example `https://console.example.org` or `https://example.org/console`. The
   * redirect URI to register is this and `callbackPath`. Nothing is ever taken from `Host` or `X-Forwarded-*`.
   */
  baseURL: string | URL;
  /**
   * Secrets that seal the cookies, newest first: it seals, all open. To rotate, put a new one in front and remove the
   * old one once the sessions that it sealed have ended. At least 32 random characters each, for example of
   * `openssl rand -base64 32`; the same on every replica.
   */
  cookieKeys: string | readonly string[];
  /** Scopes to ask for, `openid` among them; `openid profile email offline_access` unless said. */
  scopes?: readonly string[] | undefined;
  /** Whom the access token is for, where the provider has to be told (`audience`). */
  audience?: string | undefined;
  /** Further parameters of the authorization request. */
  extraParams?: Readonly<Record<string, string>> | undefined;
  /** Starts a login; takes `return_to`. `/login` unless said. */
  loginPath?: string | undefined;
  /** Where the provider sends the browser back to. `/callback` unless said. */
  callbackPath?: string | undefined;
  /** Ends the session. `/logout` unless said. */
  logoutPath?: string | undefined;
  /** Tells who is signed in, as JSON. `/me` unless said. */
  mePath?: string | undefined;
  /** What the cookies' names begin with. */
  cookieName?: string | undefined;
  /** `Domain` of the cookies; none unless said: they then belong to this host alone. */
  cookieDomain?: string | undefined;
  /** `SameSite` of the session cookie; `lax` unless said. */
  sameSite?: 'lax' | 'strict' | 'none' | undefined;
  /** Further origins that `return_to` may lead to; paths of this app always may. */
  returnTo?: readonly string[] | undefined;
  /** Further origins whose pages may send requests that change something; `returnTo` gives no such right. */
  trustedOrigins?: readonly string[] | undefined;
  /** Where a sign-in ends that names no place: a path of this app; `baseURL` unless said. */
  home?: string | undefined;
  /** The address where a logout ends; registered at the provider (`post_logout_redirect_uris`). */
  postLogoutRedirect?: string | undefined;
  /** How long a session lasts at most; 7 days unless said. */
  sessionLifetime?: number | undefined;
  /** How long a session lasts without a request; 24 hours unless said. */
  idleTimeout?: number | undefined;
  /** Also ask the provider's UserInfo endpoint for claims. */
  userInfo?: boolean | undefined;
  /** Revoke the refresh token on logout (RFC 7009); true unless said. */
  revokeOnLogout?: boolean | undefined;
  /** End the provider's own session too (OpenID Connect RP-Initiated Logout 1.0); true unless said. */
  providerLogout?: boolean | undefined;
  /** The header that a Flyte server wants the token in; `authorization` unless said. */
  headerName?: string | undefined;
  /**
   * Where sessions are. `cookie` (unless said): sealed, in the browser. `memory`: in this process, the browser has a random
   * name only; a restart signs everybody out. A `SessionStore`: wherever it keeps them. Several replicas need one that
   * they share, or a balancer that keeps a browser at one of them: a refresh token is good for one of them only.
   */
  store?: 'cookie' | 'memory' | SessionStore | undefined;
  /** A file of CA certificates (PEM) for the provider's TLS. */
  caCert?: string | undefined;
  /** Do not verify the provider's certificate: for tests alone. */
  insecureSkipVerify?: boolean | undefined;
  /** The proxy that leads to the provider. */
  httpProxyUrl?: string | undefined;
  /** Accept addresses without TLS beyond this machine. */
  plaintext?: boolean | undefined;
  /**
   * Is told what went wrong, for the app's log: a provider that does not answer, a wrong secret. Nothing secret is in it.
   * Unless said, what somebody has to repair goes to the app's own log (Fastify) or to stderr.
   */
  onProblem?: ((problem: FlyteAuthError) => void) | undefined;
}

const LOGIN: Table = {
  issuer: 'string',
  clientId: 'string',
  clientSecret: 'string',
  baseURL: 'string',
  cookieKeys: 'texts',
  scopes: 'strings',
  audience: 'string',
  extraParams: 'record',
  loginPath: 'string',
  callbackPath: 'string',
  logoutPath: 'string',
  mePath: 'string',
  cookieName: 'string',
  cookieDomain: 'string',
  sameSite: 'string',
  returnTo: 'strings',
  trustedOrigins: 'strings',
  home: 'string',
  postLogoutRedirect: 'string',
  sessionLifetime: 'number',
  idleTimeout: 'number',
  userInfo: 'boolean',
  revokeOnLogout: 'boolean',
  providerLogout: 'boolean',
  headerName: 'string',
  store: 'string',
  caCert: 'path',
  insecureSkipVerify: 'boolean',
  httpProxyUrl: 'string',
  plaintext: 'boolean',
  onProblem: 'function',
};
const NEEDED = ['issuer', 'clientId', 'baseURL', 'cookieKeys'] as const;

/**
 * The options as they were given, checked.
 *
 * @internal
 * @throws {TypeError} an option is missing, unknown or of the wrong type.
 */
export function loginOptions(options: FlyteLoginOptions): Omit<FlyteLoginOptions, 'baseURL'> & { baseURL: string } {
  const { baseURL, store, ...rest } = options ?? {};
  const given = {
    ...rest,
    ...(baseURL !== undefined && { baseURL: baseURL instanceof URL ? baseURL.href : baseURL }),
    ...(typeof store === 'string' && { store }),
  };
  const known = needed(checked<object>(options && given, LOGIN), NEEDED);
  // Anything else that is given for one is looked at where it is to serve.
  return { ...known, ...(store != null && { store }) } as Omit<FlyteLoginOptions, 'baseURL'> & { baseURL: string };
}

/** `options`, if all that are needed are there. */
export function needed<T extends object>(options: T, names: readonly string[]): T {
  const missing = names.find((name) => !Object.hasOwn(options, name));
  if (missing !== undefined) throw new TypeError(`the option ${missing} is missing`);
  return options;
}
