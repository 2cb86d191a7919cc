/**
 * Flyte's identity provider for Auth.js (`@auth/core`, `next-auth` 5): a plain object.
 *
 * ```js
 * export const { handlers, auth } = NextAuth({ providers: [FlyteProvider({ issuer, clientId, clientSecret })] });
 * ```
 *
 * Here Auth.js runs the protocol, and none of this package's code does: its cookies, its session, its refresh or none.
 * It is for apps that have Auth.js already; `flyte-auth/web`, `/express` and `/fastify` do it all themselves.
 */

import { checked, type Table } from './arguments';
import { needed } from './relying_party/options';

/** What Auth.js is to know of the provider. */
export interface FlyteProviderOptions {
  /** The identity provider: `issuer` of its metadata, exactly. */
  issuer: string;
  /** `client_id`; its redirect URI is Auth.js's `/api/auth/callback/flyte`. */
  clientId: string;
  /** `client_secret`; without one the app is a public client (PKCE alone). */
  clientSecret?: string | undefined;
  /** Scopes to ask for; `openid profile email offline_access` unless said. */
  scopes?: readonly string[] | undefined;
  /** Whom the access token is for, where the provider has to be told (`audience`). */
  audience?: string | undefined;
  /** What Auth.js calls it, also in the redirect URI; `flyte` unless said. */
  id?: string | undefined;
  /** What its sign-in page calls it; `Flyte` unless said. */
  name?: string | undefined;
}

/** Claims of the ID token that a profile is made of (OpenID Connect Core 1.0 section 5.1). */
export interface FlyteProfile {
  sub: string;
  name?: string | null;
  preferred_username?: string | null;
  email?: string | null;
  picture?: string | null;
}

/** An OIDC provider as Auth.js takes it. */
export interface FlyteOIDCProvider {
  id: string;
  name: string;
  type: 'oidc';
  issuer: string;
  clientId: string;
  clientSecret?: string;
  client?: { token_endpoint_auth_method: 'none' };
  checks: ('pkce' | 'state' | 'nonce')[];
  authorization: { params: Record<string, string> };
  profile: (claims: FlyteProfile) => { id: string; name: string | null; email: string | null; image: string | null };
}

const OPTIONS: Table = {
  issuer: 'string',
  clientId: 'string',
  clientSecret: 'string',
  scopes: 'strings',
  audience: 'string',
  id: 'string',
  name: 'string',
};
const SCOPES = ['openid', 'profile', 'email', 'offline_access'];

/**
 * The provider for Auth.js's `providers`.
 *
 * @throws {TypeError} an option is missing, unknown or of the wrong type.
 */
export function FlyteProvider(options: FlyteProviderOptions): FlyteOIDCProvider {
  const given = needed(checked(options, OPTIONS), ['issuer', 'clientId']);
  const { issuer, clientId, clientSecret, scopes = SCOPES, audience, id = 'flyte', name = 'Flyte' } = given;
  return {
    id,
    name,
    type: 'oidc',
    issuer,
    clientId,
    ...(clientSecret === undefined ? { client: { token_endpoint_auth_method: 'none' } } : { clientSecret }),
    // All that the protocol has against mixed-up and replayed answers (RFC 9700 section 2.1).
    checks: ['pkce', 'state', 'nonce'],
    authorization: { params: { scope: scopes.join(' '), ...(audience !== undefined && { audience }) } },
    profile: ({ sub, name: called, preferred_username: user, email, picture }) => ({
      id: sub,
      name: called ?? user ?? null,
      email: email ?? null,
      image: picture ?? null,
    }),
  };
}
