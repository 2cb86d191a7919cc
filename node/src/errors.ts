/**
 * What can go wrong: one base class, eight kinds, the same in every language that flyte-auth speaks.
 *
 * | class | `code` | retryable | what to do |
 * |---|---|---|---|
 * | `ConfigError` | `FLYTE_AUTH_CONFIG` | no | fix the setting that `setting` names |
 * | `NetworkError` | `FLYTE_AUTH_NETWORK` | yes | no answer: try again later |
 * | `ServerError` | `FLYTE_AUTH_SERVER` | it says | an unusable answer |
 * | `LoginRequiredError` | `FLYTE_AUTH_LOGIN_REQUIRED` | no | start a login |
 * | `AccessDeniedError` | `FLYTE_AUTH_DENIED` | no | tell the user |
 * | `LoginCancelledError` | `FLYTE_AUTH_CANCELLED` | no | stop quietly |
 * | `TokenStoreError` | `FLYTE_AUTH_STORE` | no | check path, lock holder, keyring |
 * | `InternalError` | `FLYTE_AUTH_INTERNAL` | no | file a bug |
 *
 * Their message is one line: what happened, where, and the next step. No token, secret or response body is ever in it.
 */

/** The row of the error table. */
export type ErrorKind =
  'config' | 'network' | 'server' | 'login_required' | 'denied' | 'cancelled' | 'store' | 'internal';

/**
 * A failure as the native half tells it (`bindings/node/src/error.rs`); what there is none of is null.
 *
 * @internal
 */
export interface Failure {
  kind: ErrorKind;
  code: string;
  /** The whole line for a person. */
  text: string;
  message: string;
  nextStep: string | null;
  retryable: boolean;
  /** Seconds. */
  retryAfter: number | null;
  endpoint: string | null;
  setting: string | null;
  oauthError: string | null;
  oauthErrorDescription: string | null;
  /** Outermost first. */
  causes: readonly string[];
}

/** What an error tells beside its message; what is not given is null, and `retryable` as the class has it. */
export interface ErrorMembers {
  reason?: string;
  what?: string;
  nextStep?: string | null;
  retryable?: boolean;
  retryAfter?: number | null;
  endpoint?: string | null;
  setting?: string | null;
  oauthError?: string | null;
  oauthErrorDescription?: string | null;
  cause?: unknown;
}

/** Every error of this package, beside `TypeError` for an argument of a wrong type. */
export class FlyteAuthError extends Error {
  /** The kind's stable identifier, for example `FLYTE_AUTH_LOGIN_REQUIRED`. */
  readonly code: string;
  /** The row of the error table, for example `login_required`. */
  readonly kind: ErrorKind;
  /** Which case it is: an RFC's error code (`invalid_grant`) or one of ours in snake case (`port_busy`); stable. */
  readonly reason: string;
  /** What happened, without place and next step. */
  readonly what: string;
  /** What to do, or null. */
  readonly nextStep: string | null;
  /** Whether trying again later can help. */
  readonly retryable: boolean;
  /** Milliseconds that the server asks to wait, or null. */
  readonly retryAfter: number | null;
  /** The endpoint or issuer that it is about, or null. */
  readonly endpoint: string | null;
  /** The setting or argument that is wrong, as the user wrote it, or null. */
  readonly setting: string | null;
  /** The server's `error` (RFC 6749 section 5.2), or null. */
  readonly oauthError: string | null;
  /** The server's `error_description`, or null. */
  readonly oauthErrorDescription: string | null;

  /** @internal */
  static readonly row: Row = { code: 'FLYTE_AUTH_INTERNAL', kind: 'internal', retryable: false };

  /** Yours to make in the tests of your own program. */
  constructor(message: string, members: ErrorMembers = {}) {
    super(message, members.cause === undefined ? undefined : { cause: members.cause });
    const row = (new.target as typeof FlyteAuthError).row;
    this.code = row.code;
    this.kind = row.kind;
    this.reason = members.reason ?? row.kind;
    this.what = members.what ?? message;
    this.nextStep = members.nextStep ?? null;
    this.retryable = members.retryable ?? row.retryable;
    this.retryAfter = members.retryAfter ?? null;
    this.endpoint = members.endpoint ?? null;
    this.setting = members.setting ?? null;
    this.oauthError = members.oauthError ?? null;
    this.oauthErrorDescription = members.oauthErrorDescription ?? null;
  }

  static {
    this.prototype.name = 'FlyteAuthError';
  }
}

/** What all errors of a class have in common. */
interface Row {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
}

/** A setting or argument is wrong: `setting` names it. */
export class ConfigError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_CONFIG';
  declare readonly kind: 'config';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_CONFIG', kind: 'config', retryable: false };
  static {
    this.prototype.name = 'ConfigError';
  }
}

/** No answer (DNS, TCP, TLS, timeout): try again later. */
export class NetworkError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_NETWORK';
  declare readonly kind: 'network';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_NETWORK', kind: 'network', retryable: true };
  static {
    this.prototype.name = 'NetworkError';
  }
}

/** An unusable answer (5xx, 429, HTML, malformed): `retryable` says whether trying again can help. */
export class ServerError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_SERVER';
  declare readonly kind: 'server';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_SERVER', kind: 'server', retryable: false };
  static {
    this.prototype.name = 'ServerError';
  }
}

/** Nobody is signed in, or the session has ended: start a login. */
export class LoginRequiredError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_LOGIN_REQUIRED';
  declare readonly kind: 'login_required';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_LOGIN_REQUIRED', kind: 'login_required', retryable: false };
  static {
    this.prototype.name = 'LoginRequiredError';
  }
}

/** The authorization server or the resource refused: tell the user. */
export class AccessDeniedError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_DENIED';
  declare readonly kind: 'denied';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_DENIED', kind: 'denied', retryable: false };
  static {
    this.prototype.name = 'AccessDeniedError';
  }
}

/** The person declined or the deadline passed: stop quietly. */
export class LoginCancelledError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_CANCELLED';
  declare readonly kind: 'cancelled';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_CANCELLED', kind: 'cancelled', retryable: false };
  static {
    this.prototype.name = 'LoginCancelledError';
  }
}

/** The token store could not be read, written or locked. */
export class TokenStoreError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_STORE';
  declare readonly kind: 'store';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_STORE', kind: 'store', retryable: false };
  static {
    this.prototype.name = 'TokenStoreError';
  }
}

/** A bug here. */
export class InternalError extends FlyteAuthError {
  declare readonly code: 'FLYTE_AUTH_INTERNAL';
  declare readonly kind: 'internal';
  /** @internal */
  static override readonly row: Row = { code: 'FLYTE_AUTH_INTERNAL', kind: 'internal', retryable: false };
  static {
    this.prototype.name = 'InternalError';
  }
}

const CLASSES: Record<ErrorKind, new (message: string, members: ErrorMembers) => FlyteAuthError> = {
  config: ConfigError,
  network: NetworkError,
  server: ServerError,
  login_required: LoginRequiredError,
  denied: AccessDeniedError,
  cancelled: LoginCancelledError,
  store: TokenStoreError,
  internal: InternalError,
};

/** What begins the message of an error that the native half made; a `Failure` as JSON follows. */
const PREFIX = 'flyte-auth:';

/**
 * The error of this package for one that the native half threw; anything else as it is.
 *
 * @internal
 */
export function translated(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith(`${PREFIX}{`)) return error;
  const made = failed(JSON.parse(error.message.slice(PREFIX.length)) as Failure);
  // Where it was thrown or awaited, below our own message; the native half's would show its JSON.
  Error.captureStackTrace?.(made, translated);
  return made;
}

/**
 * The error of this package for a failure.
 *
 * @internal
 */
export function failed({ kind, code, text, message, retryAfter, causes, ...members }: Failure): FlyteAuthError {
  return new (CLASSES[kind] ?? InternalError)(text, {
    ...members,
    reason: code,
    what: message,
    retryAfter: retryAfter === null ? null : retryAfter * 1000,
    cause: chain(causes),
  });
}

/**
 * For what only TypeScript can see to be wrong.
 *
 * @internal
 */
export function configError(code: string, message: string, nextStep: string, setting?: string): ConfigError {
  const members = { reason: code, what: message, nextStep, setting: setting ?? null };
  return new ConfigError(`${message}. ${nextStep}`, members);
}

/**
 * What `work` gives; an error of the native half as one of ours.
 *
 * @internal
 */
export function translating<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translated(error);
  }
}

function chain(messages: readonly string[]): Error | undefined {
  return messages.reduceRight<Error | undefined>((beneath, message) => {
    const cause = new Error(message, beneath && { cause: beneath });
    // It happened in Rust: where it was made here is no news.
    cause.stack = String(cause);
    return cause;
  }, undefined);
}
