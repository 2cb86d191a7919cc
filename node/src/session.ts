/** The session: one endpoint, one credential, one store, shared with every other program on this machine. */

import { inspect } from 'node:util';

import { addon } from './addon';
import { checked, text, typeName, type Table } from './arguments';
import { disposable } from './disposable';
import { translating } from './errors';
import { BEGIN_LOGIN, LOGIN, signIn, ways, type BeginLoginOptions, type LoginOptions } from './login';
import type * as Native from './native';
import {
  camelCased,
  logoutOutcome,
  type Identity,
  type LoginOutcome,
  type LogoutOutcome,
  type Status,
} from './outcomes';
import { pendingOf, type PendingLogin } from './pending_login';
import { program } from './program';
import { Tokens, type Token, type TokenSource } from './token';
import { waited, type WaitOptions } from './wait';

/** Where the session is kept. */
export type Store = 'auto' | 'keyring' | 'encrypted-file' | 'file' | 'memory' | 'none';

/** What a session is made from; the rest comes from the environment, and then from Flyte's configuration file. */
export interface SessionOptions {
  /** A configuration file (YAML or INI); unless said, the one that flytekit and flyte would read. */
  config?: string | URL | undefined;
  /** The Flyte endpoint, in any form that a Flyte client takes (`dns:///host`, `https://host`, `host`). */
  endpoint?: string | undefined;
  /** One of the file's `profiles`. */
  profile?: string | undefined;
  /** Which of several accounts, by e-mail address or subject. */
  account?: string | undefined;
  /** Where the session is kept. */
  store?: Store | undefined;
  /**
   * Whether `token()` may ask the person at this terminal to sign in. A library asks nobody unless this is said.
   */
  interactive?: 'never' | 'auto' | 'always' | undefined;
  /** No TLS (Flyte's meaning). */
  insecure?: boolean | undefined;
  /** TLS without looking at certificates. */
  insecureSkipVerify?: boolean | undefined;
  /** Roots that are trusted besides the platform's: a PEM file, or a folder of them. */
  caCert?: string | URL | undefined;
  /** Client certificate chain (PEM). */
  clientCert?: string | URL | undefined;
  /** Its key (PEM). */
  clientKey?: string | URL | undefined;
  /** The proxy for every call. */
  httpProxyUrl?: string | undefined;
  /** How the token is obtained: `auto` or any of Flyte's names (`Pkce`, `ClientSecret`, …). */
  authType?: string | undefined;
  /** OAuth client id. */
  clientId?: string | undefined;
  /** OAuth client secret: a machine's credential, never asks a person. */
  clientSecret?: string | undefined;
  /** The authorization server's issuer: skips Flyte's discovery. */
  issuer?: string | undefined;
  /** OAuth scopes. */
  scopes?: readonly string[] | undefined;
  /** OAuth audience. */
  audience?: string | undefined;
  /** Further parameters for authorization and token requests. */
  extraParams?: Readonly<Record<string, string>> | undefined;
}

/** How a logout is to go. */
export interface LogoutOptions extends WaitOptions {
  /** Also revoke the tokens at the server (RFC 7009). */
  revoke?: boolean | undefined;
}

/** Names and types of `SessionOptions`. */
export const SESSION: Table = {
  config: 'path',
  endpoint: 'string',
  profile: 'string',
  account: 'string',
  store: 'string',
  interactive: 'string',
  insecure: 'boolean',
  insecureSkipVerify: 'boolean',
  caCert: 'path',
  clientCert: 'path',
  clientKey: 'path',
  httpProxyUrl: 'string',
  authType: 'string',
  clientId: 'string',
  clientSecret: 'string',
  issuer: 'string',
  scopes: 'strings',
  audience: 'string',
  extraParams: 'record',
};

const WAIT: Table = { signal: 'signal' };
const LOGOUT: Table = { revoke: 'boolean', signal: 'signal' };

/** @internal */
export let nativeSession: (session: Session) => Native.Session;

/** Declared here, since `using` knows it by these. */
export interface Session extends Disposable, AsyncDisposable {}

/**
 * One endpoint, one credential, one store. Cheap to keep; any number of calls at once share one refresh.
 *
 * ```js
 * const session = Session.fromConfig();
 * await fetch(url, { headers: await session.headers() });
 * ```
 *
 * Whatever waits gives a promise and takes an `AbortSignal`.
 */
export class Session implements TokenSource {
  readonly #native: Native.Session;
  readonly #tokens: Tokens;

  /** As `Session.fromConfig(options)`. */
  constructor(options?: SessionOptions) {
    const given = checked(options, SESSION) as Native.SessionOptions;
    this.#native = translating(() => new (addon().Session)(given, program()));
    this.#tokens = new Tokens(this.#native, (cancel) => this.#native.token(false, cancel));
  }

  static {
    nativeSession = (session: unknown) => {
      if (typeof session === 'object' && session !== null && #native in session) return session.#native;
      throw new TypeError(`session must be a Session, not ${typeName(session)}`);
    };
    disposable(this, (session) => session.close());
  }

  /**
   * A session from Flyte's configuration: the file `config`, or the one that flytekit and flyte would read. Options stand
   * above the environment, and that above the file; `flyte-auth config explain` shows each value and where it came from.
   * Touches no network.
   *
   * @throws {TypeError} an unknown option, or a value of a wrong type.
   * @throws {ConfigError} no endpoint, a value that is none, a file that is missing, unusable or not trusted.
   */
  static fromConfig(options?: SessionOptions): Session {
    return new Session(options);
  }

  /** A session for an endpoint. All else is as in `fromConfig`. */
  static forEndpoint(endpoint: string, options?: Omit<SessionOptions, 'endpoint'>): Session {
    text('endpoint', endpoint);
    const { endpoint: _, ...others } = SESSION;
    return new Session({ ...checked(options, others), endpoint });
  }

  /** The endpoint (or the issuer) as a person names it. */
  get endpoint(): string {
    return this.#native.endpoint;
  }

  /** What is unwise in the configuration: unknown keys, ignored values; one line each. */
  get warnings(): readonly string[] {
    return this.#native.warnings;
  }

  /** The token in memory, if it needs no refresh; null otherwise, and where the endpoint has no auth. Never waits. */
  tryToken(): Token | null {
    return this.#tokens.tryToken();
  }

  /**
   * A token for the next call; null if the endpoint has no auth.
   *
   * Fresh in memory: at once. Inside the refresh margin: the old one at once, refreshed in the background. Otherwise all
   * callers of all processes wait for one refresh; aborting ends the wait and not the refresh.
   *
   * @throws {LoginRequiredError} a person must sign in (nobody is asked unless `interactive` says so).
   * @throws {FlyteAuthError} as the server answers.
   */
  token(options?: WaitOptions): Promise<Token | null> {
    return this.#tokens.token(options);
  }

  /**
   * The header for the next call, `{name: value}`; `{}` if the endpoint has no auth. A new object each time.
   *
   * @throws {FlyteAuthError} as `token()`.
   */
  headers(options?: WaitOptions): Promise<Record<string, string>> {
    return this.#tokens.headers(options);
  }

  /**
   * The server rejected this token (401, gRPC 16): it is not served again, and the next `token()` refreshes. A late
   * rejection of an older token starts nothing. Without a token the current one is meant. Never waits.
   */
  invalidate(token?: Token): void {
    this.#tokens.invalidate(token);
  }

  /**
   * Signs a person in and waits for them. Aborting ends the login: its lock and its port are free at once.
   *
   * Without callbacks the person is shown what to do at this terminal (stderr). With any callback nothing is printed:
   * `onEvent` is told everything. What a callback throws ends the login and comes out of here as it is.
   *
   * @throws {LoginCancelledError} the person declined or the deadline passed.
   * @throws {ConfigError} this session is a machine's, or `interactive` is `never`.
   * @throws {FlyteAuthError} as the server answers.
   */
  async login(options?: LoginOptions): Promise<LoginOutcome> {
    return signIn(this.#native, checked(options, LOGIN));
  }

  /**
   * Starts a login and gives what the person needs; `finish()` ends it. Null: the endpoint has no auth.
   *
   * For programs that show the address themselves: a web page, a chat. The browser's way back is answered while
   * `finish()` waits.
   *
   * @throws {LoginRequiredError} reason `login_under_way`: another program's login for this session is.
   * @throws {FlyteAuthError} as `login()`.
   */
  async beginLogin(options?: BeginLoginOptions): Promise<PendingLogin | null> {
    const given = checked(options, BEGIN_LOGIN);
    const native = await waited(given.signal, (cancel) => this.#native.beginLogin(ways(given), cancel));
    return native && pendingOf(native);
  }

  /**
   * Ends the session on this machine, also the copies of our token that other clients stored. With `revoke` the tokens
   * are then revoked at the server (RFC 7009), best effort: `problem` says why not.
   *
   * @throws {TokenStoreError} the local copy cannot be removed.
   */
  async logout(options?: LogoutOptions): Promise<LogoutOutcome> {
    const { revoke = false, signal } = checked(options, LOGOUT);
    return logoutOutcome(await waited(signal, (cancel) => this.#native.logout(revoke, cancel)));
  }

  /**
   * What is known of the session without the network. Nothing secret.
   *
   * @throws {TokenStoreError} the store cannot be read.
   */
  async status(options?: WaitOptions): Promise<Status> {
    const { signal } = checked(options, WAIT);
    return camelCased(await waited(signal, (cancel) => this.#native.status(cancel)));
  }

  /**
   * The identity as the server sees it (Flyte's `IdentityService.UserInfo`, the issuer's user info): a real call.
   *
   * @throws {AccessDeniedError} reason `unauthenticated` if the server rejects the token.
   * @throws {FlyteAuthError} as `token()`; reason `unimplemented` if the server cannot tell.
   */
  async whoami(options?: WaitOptions): Promise<Identity> {
    const { signal } = checked(options, WAIT);
    return camelCased(await waited(signal, (cancel) => this.#native.whoami(cancel)));
  }

  /**
   * Ends the use of this object; what is stored stays, and so do refreshes under way. Further calls fail with
   * `ConfigError` (`session_closed`). Never waits.
   */
  close(): void {
    this.#native.close();
  }

  /** @internal */
  [inspect.custom](): string {
    return `Session(${this.endpoint})`;
  }
}

/** Signs a person in: `Session.fromConfig(…).login(…)` in one call, with the options of both. */
export async function login(options?: SessionOptions & LoginOptions): Promise<LoginOutcome> {
  const [session, ways] = split(options, LOGIN);
  return session.login(ways);
}

/** Starts a login: `Session.fromConfig(…).beginLogin(…)` in one call, with the options of both. */
export async function beginLogin(options?: SessionOptions & BeginLoginOptions): Promise<PendingLogin | null> {
  const [session, ways] = split(options, BEGIN_LOGIN);
  return session.beginLogin(ways);
}

function split<T extends object>(options: (SessionOptions & T) | undefined, table: Table): [Session, T] {
  const given = Object.entries(checked<SessionOptions & T>(options, { ...SESSION, ...table }));
  const [ways, others] = [given.filter(([name]) => name in table), given.filter(([name]) => !(name in table))];
  return [new Session(Object.fromEntries(others)), Object.fromEntries(ways) as T];
}
