/** What the calls of a session give, as JavaScript has it. */

import { failed, type Failure, type FlyteAuthError } from './errors';
import type * as Native from './native';
import { dateOf } from './token';

/** What a login did. */
export interface LoginOutcome {
  /** Whether the endpoint has auth at all; if not there was nothing to do. */
  readonly hasAuth: boolean;
  /** Another program's login was shared. */
  readonly shared: boolean;
  /** `sub` of the ID token, where there was one. */
  readonly subject: string | null;
  /** E-mail address or user name, where an ID token told. */
  readonly email: string | null;
  /** Whether the session can be refreshed; if not the person is asked again when the token expires. */
  readonly hasRefreshToken: boolean;
  /** When the access token expires, if anybody knows. */
  readonly expiresAt: Date | null;
}

/** What a logout did. */
export interface LogoutOutcome {
  /** Whether there was a session on this machine. */
  readonly wasSignedIn: boolean;
  /** Whether the server revoked the tokens; null if that was not asked for or there was nothing to revoke. */
  readonly revoked: boolean | null;
  /** Other clients whose own copies of this session's tokens were removed. */
  readonly copiesRemoved: readonly string[];
  /** Why the revocation failed, or null. The local copy is gone all the same. */
  readonly problem: FlyteAuthError | null;
}

/** What `status()` tells. */
export interface Status {
  readonly endpoint: string;
  /** Which Flyte API answers there; `none` without auth; null if nobody asked yet. */
  readonly generation: '1' | '2' | 'none' | null;
  readonly authType: string;
  readonly issuer: string | null;
  readonly clientId: string | null;
  readonly subject: string | null;
  readonly email: string | null;
  readonly scopes: readonly string[];
  readonly signedIn: boolean;
  readonly tokenSource: string;
  readonly accessTokenExpiresAt: Date | null;
  readonly hasRefreshToken: boolean;
  readonly sessionExpiresAt: Date | null;
  readonly store: string;
  readonly storeReason: string;
  readonly storeLocation: string | null;
  readonly profile: string | null;
  readonly account: string | null;
  readonly configFile: string | null;
}

/** What `whoami()` tells; what the server left out is null. */
export interface Identity {
  readonly subject: string | null;
  readonly name: string | null;
  readonly email: string | null;
  readonly preferredUsername: string | null;
}

export function loginOutcome(native: Native.LoginOutcome): LoginOutcome {
  return {
    hasAuth: native.hasAuth,
    shared: native.shared,
    subject: native.subject ?? null,
    email: native.email ?? null,
    hasRefreshToken: native.hasRefreshToken,
    expiresAt: dateOf(native.expiresAt),
  };
}

export function logoutOutcome(native: Native.LogoutOutcome): LogoutOutcome {
  return {
    wasSignedIn: native.wasSignedIn,
    revoked: native.revoked ?? null,
    copiesRemoved: native.copiesRemoved,
    problem: native.problem == null ? null : failed(JSON.parse(native.problem) as Failure),
  };
}

/** JSON of the command line's shape (`a_member`, times in RFC 3339) as `aMember` and `Date`. */
export function camelCased<T>(json: string): T {
  const members = Object.entries(JSON.parse(json) as Record<string, unknown>);
  const renamed = members.map(([name, value]) => {
    const isTime = name.endsWith('_at') && typeof value === 'string';
    return [name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), isTime ? new Date(value) : value];
  });
  return Object.fromEntries(renamed) as T;
}
