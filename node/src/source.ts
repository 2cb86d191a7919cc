/** What the plug-ins have of a token source: the token that goes out, and the one that goes out after a rejection. */

import { typeName } from './arguments';
import type { Token, TokenSource } from './token';

/**
 * `value`, if it gives tokens.
 *
 * @throws {TypeError} it does not.
 */
export function sourceOf(value: TokenSource): TokenSource {
  for (const method of ['tryToken', 'token', 'invalidate'] as const) {
    if (typeof value?.[method] !== 'function') {
      throw new TypeError(`session must be a Session or a signed-in user's session, not ${typeName(value)}`);
    }
  }
  return value;
}

/**
 * A token other than the one that the server rejected; null if there is none, so that asking again brings the same
 * answer.
 */
export async function anotherToken(source: TokenSource, rejected: Token, signal: AbortSignal): Promise<Token | null> {
  const token = await source.token({ signal });
  return token === null || token.headerValue === rejected.headerValue ? null : token;
}
