/** Verification for services that receive Flyte tokens. */

import { inspect } from 'node:util';

import { addon } from './addon';
import { checked, text, typeName, type Table } from './arguments';
import { translating } from './errors';
import type * as Native from './native';
import { dateOf } from './token';
import { waited, type WaitOptions } from './wait';

/** What a verifier is made from. */
export interface VerifierOptions {
  /** `iss`, exactly; its metadata names the keys. */
  issuer: string;
  /** What must be in `aud`: one, or any of several. */
  audience?: string | readonly string[] | undefined;
  /** Take any audience; say so by name or give one. */
  anyAudience?: boolean | undefined;
  /** The issuer's keys (RFC 7517), where they are not to be fetched: an object, or its JSON. */
  jwks?: string | { readonly keys: readonly object[] } | undefined;
  /** Where they are, over what the issuer's metadata says. */
  jwksUri?: string | undefined;
  /** Which are allowed; all asymmetric ones unless said. */
  algorithms?: readonly string[] | undefined;
  /** `jwt` takes what Okta, Entra, Auth0, Keycloak, Google and flyteadmin write; `rfc9068` is that RFC to the letter. */
  profile?: 'jwt' | 'rfc9068' | undefined;
  /** Milliseconds that the two clocks may differ, at most 300,000; 60,000 unless said. */
  clockSkew?: number | undefined;
  /** What every access token must have. */
  requiredScopes?: readonly string[] | undefined;
  /** Asks the authorization server about opaque tokens (RFC 7662) as this client. */
  introspectionClientId?: string | undefined;
  /** Its secret. */
  introspectionClientSecret?: string | undefined;
  /** Where, over what the issuer's metadata says. */
  introspectionEndpoint?: string | undefined;
  /** About how many verified tokens are remembered, by hash; 4096 unless said. */
  remember?: number | undefined;
  /** Accept addresses without TLS beyond this machine. */
  plaintext?: boolean | undefined;
}

/** What an ID token has to fit. */
export interface IdTokenOptions extends WaitOptions {
  /** Must be in `aud`, and be `azp` where there is one. */
  clientId: string;
  /** The one that was sent. */
  nonce?: string | undefined;
  /** The one that came with it: `at_hash`, where there is one, must be its hash. */
  accessToken?: string | undefined;
}

/** What a logout token has to fit. */
export interface LogoutTokenOptions extends WaitOptions {
  /** Must be in `aud`. */
  clientId: string;
}

/** Claims of a verified ID token (OpenID Connect Core section 2). */
export interface IdTokenClaims {
  /** `sub`. */
  readonly subject: string;
  /** `email`. */
  readonly email: string | null;
  /** `preferred_username`. */
  readonly preferredUsername: string | null;
}

/** Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4). */
export interface LogoutTokenClaims {
  /** `sub`: every session of this user, unless `sessionId` names one. */
  readonly subject: string | null;
  /** `sid`: this session. */
  readonly sessionId: string | null;
  /** `jti`: remember it until `expiresAt`, and refuse it the second time. */
  readonly tokenId: string;
  /** `exp`. */
  readonly expiresAt: Date;
}

const VERIFIER: Table = {
  issuer: 'string',
  audience: 'texts',
  anyAudience: 'boolean',
  jwks: 'json',
  jwksUri: 'string',
  algorithms: 'strings',
  profile: 'string',
  clockSkew: 'number',
  requiredScopes: 'strings',
  introspectionClientId: 'string',
  introspectionClientSecret: 'string',
  introspectionEndpoint: 'string',
  remember: 'count',
  plaintext: 'boolean',
};
const WAIT: Table = { signal: 'signal' };
const ID_TOKEN: Table = { clientId: 'string', nonce: 'string', accessToken: 'string', signal: 'signal' };
const LOGOUT_TOKEN: Table = { clientId: 'string', signal: 'signal' };

/** @internal */
export let verifiedOf: (native: Native.VerifiedToken) => VerifiedToken;
/** @internal */
export let nativeVerifier: (verifier: Verifier) => Native.Verifier;

/** An access token that was verified: by its signature, or by the authorization server's word (RFC 7662). */
export class VerifiedToken {
  readonly #native: Native.VerifiedToken;

  private constructor(native: Native.VerifiedToken) {
    this.#native = native;
  }

  static {
    verifiedOf = (native) => new VerifiedToken(native);
  }

  /** `iss`; null only where an introspection reply has none. */
  get issuer(): string | null {
    return this.#native.issuer;
  }

  /** `sub`: whom the token is about; a client's own id where it acts for itself. */
  get subject(): string | null {
    return this.#native.subject;
  }

  /** `aud`. */
  get audience(): readonly string[] {
    return this.#native.audience;
  }

  /** The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there. */
  get clientId(): string | null {
    return this.#native.clientId;
  }

  /** Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there. */
  get scopes(): readonly string[] {
    return this.#native.scopes;
  }

  /** Whether `scope` was granted. */
  hasScope(scope: string): boolean {
    return this.#native.hasScope(text('scope', scope));
  }

  /** `exp`; null only where an introspection reply has none. */
  get expiresAt(): Date | null {
    return dateOf(this.#native.expiresAt);
  }

  /** `iat`, as `expiresAt`. */
  get issuedAt(): Date | null {
    return dateOf(this.#native.issuedAt);
  }

  /** Every claim, as `JSON.parse` gives it. A new object each time. */
  get claims(): Record<string, unknown> {
    return JSON.parse(this.#native.claims) as Record<string, unknown>;
  }

  /** @internal */
  [inspect.custom](): string {
    return `VerifiedToken(${this.subject ?? 'nobody'}, until ${this.expiresAt?.toISOString() ?? 'nobody knows'})`;
  }
}

/**
 * Verifies tokens of one issuer: make one and keep it.
 *
 * ```js
 * const verifier = new Verifier({ issuer: 'https://idp.example', audience: 'https://flyte.example' });
 * const token = await verifier.verify(bearer);
 * if (token.hasScope('all')) …
 * ```
 *
 * Only asymmetric algorithms, bound to the key's type, curve, `alg`, `use` and `key_ops` (RFC 8725); the issuer's keys
 * are fetched when they are needed, once for all callers, kept, and fetched again when an unknown key id comes, at most
 * once in 60 seconds; `jku`, `x5u`, `jwk` and `x5c` are never followed.
 */
export class Verifier {
  readonly #native: Native.Verifier;

  /**
   * Connects to nothing yet.
   *
   * @throws {TypeError} an unknown option, or a value of a wrong type.
   * @throws {ConfigError} no audience, an address that is none or is plaintext, an unknown algorithm.
   */
  constructor(options: VerifierOptions) {
    const given = checked(options, VERIFIER) as unknown as Native.VerifierOptions;
    text('issuer', given.issuer);
    this.#native = translating(() => new (addon().Verifier)(given));
  }

  static {
    nativeVerifier = (verifier: unknown) => {
      if (typeof verifier === 'object' && verifier !== null && #native in verifier) return verifier.#native;
      throw new TypeError(`verifier must be a Verifier, not ${typeName(verifier)}`);
    };
  }

  /** The issuer. */
  get issuer(): string {
    return this.#native.issuer;
  }

  /**
   * Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and claims,
   * an opaque one by introspection where that is configured. What was verified is remembered by its hash.
   *
   * @throws {AccessDeniedError} its `reason` is the failed check (`token_expired`, `token_audience`, …).
   * @throws {NetworkError | ServerError} the issuer's keys cannot be had. The message holds nothing of the token.
   */
  async verify(token: string, options?: WaitOptions): Promise<VerifiedToken> {
    text('token', token);
    const signal = options === undefined ? undefined : checked(options, WAIT).signal;
    signal?.throwIfAborted();
    const known = translating(() => this.#native.verifyNow(token));
    return verifiedOf(known ?? (await waited(signal, (cancel) => this.#native.verify(token, cancel))));
  }

  /**
   * Verifies an ID token for the client `clientId` (OpenID Connect Core section 3.1.3.7).
   *
   * @throws {AccessDeniedError} reason `id_token_invalid`; the message says which check failed.
   * @throws {NetworkError | ServerError} the issuer's keys cannot be had.
   */
  async verifyIdToken(token: string, options: IdTokenOptions): Promise<IdTokenClaims> {
    text('token', token);
    const { clientId, nonce, accessToken, signal } = checked(options, ID_TOKEN);
    text('clientId', clientId);
    const found = await waited(signal, (cancel) =>
      this.#native.verifyIdToken(token, clientId, nonce, accessToken, cancel),
    );
    const { subject, email = null, preferredUsername = null } = found;
    return { subject, email, preferredUsername };
  }

  /**
   * Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6). That it comes only once is yours to
   * check, by `tokenId`.
   *
   * @throws {AccessDeniedError} its `reason` is the failed check.
   * @throws {NetworkError | ServerError} the issuer's keys cannot be had.
   */
  async verifyLogoutToken(token: string, options: LogoutTokenOptions): Promise<LogoutTokenClaims> {
    text('token', token);
    const { clientId, signal } = checked(options, LOGOUT_TOKEN);
    text('clientId', clientId);
    const found = await waited(signal, (cancel) => this.#native.verifyLogoutToken(token, clientId, cancel));
    const { subject = null, sessionId = null, tokenId, expiresAt } = found;
    return { subject, sessionId, tokenId, expiresAt: new Date(expiresAt) };
  }

  /** @internal */
  [inspect.custom](): string {
    return `Verifier(${this.issuer})`;
  }
}
