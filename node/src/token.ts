/** An access token, and what gives one. */

import { inspect } from 'node:util';

import { checked, typeName, type Table } from './arguments';
import type * as Native from './native';
import { waited, type WaitOptions } from './wait';

/** @internal */
export let tokenOf: (native: Native.Token) => Token;
/** @internal */
export let nativeToken: (token: Token) => Native.Token;

/** An access token, ready for a call. No way of printing one shows a secret. */
export class Token {
  readonly #native: Native.Token;
  // A call asks for them every time; each crossing to Rust makes a new string.
  #header: readonly [name: string, value: string] | undefined;

  private constructor(native: Native.Token) {
    this.#native = native;
  }

  static {
    tokenOf = (native) => new Token(native);
    nativeToken = (token: unknown) => {
      if (typeof token === 'object' && token !== null && #native in token) return token.#native;
      throw new TypeError(`token must be a Token, not ${typeName(token)}`);
    };
  }

  /** The token itself: a secret. */
  get value(): string {
    return this.#native.value;
  }

  /** When it expires; null if nobody knows. A new object each time. */
  get expiresAt(): Date | null {
    return dateOf(this.#native.expiresAt);
  }

  /**
   * The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's `AuthMetadataService`),
   * else `authorization`.
   */
  get headerName(): string {
    return this.#pair()[0];
  }

  /** The header's value: `Bearer` and the token: a secret. */
  get headerValue(): string {
    return this.#pair()[1];
  }

  /** Whether both are the same token. */
  equals(other: Token): boolean {
    return this === other || this.#native.equals(nativeToken(other));
  }

  #pair(): readonly [string, string] {
    return (this.#header ??= [this.#native.headerName, this.#native.headerValue]);
  }

  /** Masked. */
  toString(): string {
    return `Token(***, until ${this.expiresAt?.toISOString() ?? 'nobody knows'})`;
  }

  /** Masked. */
  toJSON(): string {
    return this.toString();
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}

/** What gives tokens: a machine's session, or that of a user who is signed in to a web app. */
export interface TokenSource {
  /** The token in memory, if it needs no refresh; null otherwise. Never waits. */
  tryToken(): Token | null;
  /** A token for the next call; null if the endpoint has no auth. */
  token(options?: WaitOptions): Promise<Token | null>;
  /** The header for the next call, `{name: value}`; `{}` if the endpoint has no auth. A new object each time. */
  headers(options?: WaitOptions): Promise<Record<string, string>>;
  /** The server rejected this token (401, gRPC 16): it is not served again. */
  invalidate(token?: Token): void;
}

const WAIT: Table = { signal: 'signal' };

/** What the native half has of a token source. */
interface NativeSource {
  /** Made anew by each access: read once. */
  readonly freshness: () => number;
  fresh(): Native.Token | null;
  invalidate(token?: Native.Token | null): void;
}

/**
 * The part of a token source that is the same for all: memory first.
 *
 * @internal
 */
export class Tokens implements TokenSource {
  readonly #native: NativeSource;
  readonly #freshness: () => number;
  readonly #wait: (cancel: Native.Cancel | null) => Promise<Native.Token | null>;
  #last: Token | null = null;
  #number = 0;

  /** @param wait asks for a token that is not in memory. */
  constructor(native: NativeSource, wait: (cancel: Native.Cancel | null) => Promise<Native.Token | null>) {
    this.#native = native;
    this.#freshness = native.freshness;
    this.#wait = wait;
  }

  tryToken(): Token | null {
    const number = this.#freshness();
    // Another token has another number: one object serves as long as it is the token.
    if (number !== this.#number) {
      const fresh = number === 0 ? null : this.#native.fresh();
      this.#last = fresh && tokenOf(fresh);
      this.#number = fresh ? number : 0;
    }
    return this.#last;
  }

  async token(options?: WaitOptions): Promise<Token | null> {
    const signal = options === undefined ? undefined : checked(options, WAIT).signal;
    signal?.throwIfAborted();
    return this.tryToken() ?? this.#awaited(signal);
  }

  async headers(options?: WaitOptions): Promise<Record<string, string>> {
    const token = await this.token(options);
    return token === null ? {} : { [token.headerName]: token.headerValue };
  }

  invalidate(token?: Token): void {
    this.#native.invalidate(token === undefined ? null : nativeToken(token));
  }

  async #awaited(signal: AbortSignal | undefined): Promise<Token | null> {
    const native = await waited(signal, this.#wait);
    if (native === null) return null;
    const inMemory = this.tryToken();
    // The one that memory has by now may be another.
    return inMemory && nativeToken(inMemory).equals(native) ? inMemory : tokenOf(native);
  }
}

/** A time as JavaScript has it. */
export function dateOf(millis: number | null | undefined): Date | null {
  return millis == null ? null : new Date(millis);
}
