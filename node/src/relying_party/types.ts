/** Who is behind a request. */

import type { VerifiedToken } from '../verifier';
import type { UserSession } from './user_session';

/** Claims of the signed-in user (OpenID Connect Core 1.0 section 5.1), or of a verified access token (RFC 9068). */
export interface User {
  /** The subject: names this user at this issuer for good. */
  readonly sub?: string;
  readonly name?: string;
  readonly preferred_username?: string;
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly picture?: string;
  readonly [claim: string]: unknown;
}

/** `req.flyteAuth`. Nobody is signed in: `user` and `session` are undefined. */
export interface FlyteAuth {
  /** Claims of the signed-in user, or of the bearer token. */
  readonly user: User | undefined;
  /** The signed-in user's tokens: never interactive, never this machine's store. Undefined for a bearer. */
  readonly session: UserSession | undefined;
  /** The verified bearer token, behind `requireBearer`. */
  readonly token: VerifiedToken | undefined;
}

/** Nobody. */
export const NOBODY: FlyteAuth = Object.freeze({ user: undefined, session: undefined, token: undefined });
