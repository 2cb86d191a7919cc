// The native half, as the lead writes it in bindings/node (napi-rs). The generated file will be node/src/native.d.ts.
// Every failure (thrown, or a rejected promise) is an Error whose `message` is JSON of a `Failure` after the prefix
// "flyte-auth:"; node/src/errors.ts has `translated(error)` that makes the error class of it (anything else passes through
// unchanged). Times are milliseconds since the epoch (number). Wrong argument types throw a TypeError before anything else
// (TypeScript checks them: the message must name the argument).

export interface Failure {
  kind: 'config' | 'network' | 'server' | 'login_required' | 'denied' | 'cancelled' | 'store' | 'internal';
  code: string; // fine-grained, e.g. 'port_busy'
  text: string; // the whole line for a person: what, where, next step
  message: string;
  nextStep?: string;
  retryable: boolean;
  retryAfter?: number; // seconds
  endpoint?: string;
  setting?: string;
  oauthError?: string;
  oauthErrorDescription?: string;
  causes: string[]; // outermost first
}

export declare function version(): string;
/** Main thread only: the process's end waits for refreshes on their way to the store. */
export declare function atExit(): void;
/** Runs the command line to its end; `program` is the argv that starts it again. Gives the exit code. */
export declare function runCli(program: string[], args: string[]): number;

/** Ends the call that it was given to; what the call holds (lock, port) is let go at once. One call each. */
export declare class Cancel { constructor(); cancel(): void }

export interface SessionOptions {
  config?: string; endpoint?: string; profile?: string; account?: string; store?: string; interactive?: string;
  insecure?: boolean; insecureSkipVerify?: boolean; caCert?: string; clientCert?: string; clientKey?: string;
  httpProxyUrl?: string; authType?: string; clientId?: string; clientSecret?: string; issuer?: string; scopes?: string[];
  audience?: string; extraParams?: Record<string, string>;
}
export declare class Token {
  get value(): string; get headerName(): string; get headerValue(): string; get expiresAt(): number | null;
  equals(other: Token): boolean;
}
export interface Target {
  host: string; port: number; tls: boolean; caCert?: string; clientCert?: string; clientKey?: string;
  insecureSkipVerify: boolean; httpProxyUrl?: string;
}
export interface LoginOptions { flow: string; noBrowser: boolean; /** ms */ timeout: number }
export interface LoginOutcome {
  hasAuth: boolean; shared: boolean; subject?: string; email?: string; hasRefreshToken: boolean; expiresAt?: number;
}
export interface LogoutOutcome { wasSignedIn: boolean; revoked?: boolean; copiesRemoved: string[]; problem?: Failure }
export declare class Session {
  /** `program`: who asks, for a prompt. Touches no network. */
  constructor(options: SessionOptions, program: string);
  get endpoint(): string; get origin(): string | null; get target(): Target | null; get warnings(): string[];
  /** Number of the token in memory that needs no refresh, 0 if there is none. Another token has another number. ~60 ns. */
  freshness(): number;
  /** The token in memory that needs no refresh; null: there is none. */
  fresh(): Token | null;
  /** null: the endpoint has no auth. */
  token(optedIn: boolean, cancel?: Cancel | null): Promise<Token | null>;
  invalidate(token?: Token | null): void;
  status(cancel?: Cancel | null): Promise<string>; // JSON, snake_case members as the CLI's `status --json`
  whoami(cancel?: Cancel | null): Promise<string>; // JSON
  logout(revoke: boolean, cancel?: Cancel | null): Promise<LogoutOutcome>;
  beginLogin(options: LoginOptions, cancel?: Cancel | null): Promise<PendingLogin | null>;
  /** At this machine's terminal. */
  login(options: LoginOptions, cancel?: Cancel | null): Promise<LoginOutcome>;
  /** With a person whom JavaScript shows everything. */
  runLogin(options: LoginOptions, opensBrowser: boolean, pastes: boolean): LoginRun;
  close(): void;
}
export declare class PendingLogin {
  get url(): string; get userCode(): string | null; get expiresAt(): number; get endpoint(): string;
  /** The same outcome for everybody who waits. */
  finish(redirectUrl?: string | null, timeout?: number | null, cancel?: Cancel | null): Promise<LoginOutcome>;
  cancel(): void;
}
export interface LoginEvent {
  kind: 'explain' | 'url' | 'user_code' | 'waiting' | 'fallback'; message: string; url?: string; opened: boolean;
  sshHint?: string; paste: boolean; userCode?: string; verificationUri?: string; verificationUriComplete?: string;
  /** ms left */ remaining?: number;
}
export declare class LoginRun {
  next(): Promise<Ask | null>; // null: the login has ended
  outcome(): Promise<LoginOutcome>;
  cancel(): void;
}
export declare class Ask {
  get kind(): 'show' | 'open' | 'paste'; get event(): LoginEvent | null; get url(): string | null;
  opened(was: boolean): void; pasted(line: string): void;
}

export interface VerifierOptions {
  issuer: string; audience?: string[]; anyAudience?: boolean; jwks?: string /* JSON */; jwksUri?: string; algorithms?: string[];
  profile?: string; clockSkew?: number /* ms */; requiredScopes?: string[]; introspectionClientId?: string;
  introspectionClientSecret?: string; introspectionEndpoint?: string; remember?: number; plaintext?: boolean;
}
export declare class Verifier {
  constructor(options: VerifierOptions);
  get issuer(): string;
  verifyNow(token: string): VerifiedToken | null; // null: something has to be fetched
  verify(token: string, cancel?: Cancel | null): Promise<VerifiedToken>;
  verifyIdToken(token: string, clientId: string, nonce?: string | null, accessToken?: string | null, cancel?: Cancel | null): Promise<IdTokenClaims>;
  verifyLogoutToken(token: string, clientId: string, cancel?: Cancel | null): Promise<LogoutTokenClaims>;
}
export declare class VerifiedToken {
  get issuer(): string | null; get subject(): string | null; get audience(): string[]; get clientId(): string | null;
  get scopes(): string[]; hasScope(scope: string): boolean; get expiresAt(): number | null; get issuedAt(): number | null;
  get claims(): string; // JSON
}
export interface IdTokenClaims { subject: string; email?: string; preferredUsername?: string }
export interface LogoutTokenClaims { subject?: string; sessionId?: string; tokenId: string; expiresAt: number }

// ---- the console side ----
/** A request as a relying party or a resource server needs it. */
export interface WebRequest {
  method: string;
  /** Path and query as received. */
  target: string;
  /** Only these are read: cookie, authorization, origin, referer, host, accept, content-type, x-requested-with, sec-fetch-site,
   *  sec-fetch-mode, sec-fetch-dest. Flat list name, value, name, value. */
  headers: string[];
  /** POST bodies of /callback, /logout; otherwise absent. At most 64 KiB. */
  body?: Buffer;
}
export interface WebResponse { status: number; /** Flat: name, value, name, value; names may repeat (set-cookie). */ headers: string[]; body: string }
export interface RelyingPartyOptions {
  issuer: string; clientId: string; clientSecret?: string; baseUrl: string; cookieKeys: string[];
  scopes?: string[]; audience?: string; extraParams?: Record<string, string>;
  loginPath?: string; callbackPath?: string; logoutPath?: string; mePath?: string;
  cookieName?: string; cookieDomain?: string; sameSite?: string /* lax | strict | none */;
  returnTo?: string[]; // further origins that /login and /logout may return to
  postLogoutRedirect?: string; sessionLifetime?: number /* ms, absolute */; idleTimeout?: number /* ms */;
  userInfo?: boolean; revokeOnLogout?: boolean; providerLogout?: boolean; headerName?: string;
  store?: string /* cookie | memory */; caCert?: string; insecureSkipVerify?: boolean; httpProxyUrl?: string; plaintext?: boolean;
}
export declare class RelyingParty {
  constructor(options: RelyingPartyOptions);
  get paths(): string[]; // login, callback, logout, me (with the base URL's path)
  /** What needs no waiting: null means call `handle`. `guard`: 'none' (look only), 'login' (requireLogin). */
  handleNow(request: WebRequest, guard: string): Handled | null;
  handle(request: WebRequest, guard: string, cancel?: Cancel | null): Promise<Handled>;
}
/** Either `response` is to be sent as it is, or the app goes on. */
export interface Handled {
  response?: WebResponse;
  /** Flat list of Set-Cookie values to add to the app's own response. */
  setCookies: string[];
  /** JSON claims of the signed-in user. */
  user?: string;
  session?: UserSession;
}
/** The signed-in user's tokens: never interactive, never the machine's store. */
export declare class UserSession {
  freshness(): number; fresh(): Token | null;
  token(cancel?: Cancel | null): Promise<Token | null>;
  invalidate(token?: Token | null): void;
  /** Set-Cookie values that a refresh since the request makes due; taken once. */
  takeCookies(): string[];
}
export declare class Bearer {
  /** RFC 6750 for a resource server. `realm` optional; `scopes` required. */
  constructor(verifier: Verifier, realm?: string | null, requiredScopes?: string[] | null);
  checkNow(authorization: string | null): BearerResult | null;
  check(authorization: string | null, cancel?: Cancel | null): Promise<BearerResult>;
}
/** Either `token` or `response` (401/403/400/503 with WWW-Authenticate, RFC 6750 section 3). */
export interface BearerResult { token?: VerifiedToken; response?: WebResponse }
