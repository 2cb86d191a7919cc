/** Bearer tokens (RFC 6750) for an adapter. */

import { addon } from '../addon';
import { checked, typeName, type Table } from '../arguments';
import { translated, translating } from '../errors';
import type { Bearer, BearerResult } from '../native';
import { nativeVerifier, verifiedOf, Verifier, type VerifiedToken, type VerifierOptions } from '../verifier';
import type { Outcome } from './party';
import { type OnProblem, tell, toStderr } from './problems';
import { type FlyteAuth, NOBODY, type User } from './types';

/** What an API asks of a token, beside what its verifier does. */
export interface BearerDemands {
  /** What every token must have; 403 `insufficient_scope` names them. */
  scopes?: readonly string[] | undefined;
  /** `realm` of the challenge (RFC 9110 section 11.5). */
  realm?: string | undefined;
  /** Address of this API's metadata, for the challenge: it tells clients where to get a token (RFC 9728 section 5.1). */
  resourceMetadata?: string | URL | undefined;
  /** As of `flyteLogin`: also why a token was refused. */
  onProblem?: OnProblem | undefined;
}

/** How an API verifies its callers' tokens: what a `Verifier` is made from, or one that is shared. */
export type BearerOptions = BearerDemands & (VerifierOptions | { verifier: Verifier });

const DEMANDS: Table = { scopes: 'strings', realm: 'string', resourceMetadata: 'string', onProblem: 'function' };

/** One `requireBearer()`. @internal */
export class BearerCheck {
  readonly #native: Bearer;
  readonly #onProblem: OnProblem | undefined;

  constructor(options: BearerOptions) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`options must be an object, not ${typeName(options)}`);
    }
    const { scopes, realm, resourceMetadata, onProblem, ...rest } = options;
    const address = resourceMetadata instanceof URL ? resourceMetadata.href : resourceMetadata;
    const demands = checked<BearerDemands>({ scopes, realm, resourceMetadata: address, onProblem }, DEMANDS);
    const verifier = nativeVerifier('verifier' in rest ? only(rest) : new Verifier(rest));
    const required = demands.scopes && [...demands.scopes];
    this.#native = translating(() => new (addon().Bearer)(verifier, demands.realm, required, address));
    this.#onProblem = onProblem;
  }

  /** Checks the request's `Authorization`; no promise where no key has to be fetched. */
  check(authorization: string | undefined, log = toStderr): Outcome | Promise<Outcome> {
    const known = translating(() => this.#native.checkNow(authorization));
    return known === null ? this.#wait(authorization, log) : this.#outcome(known, log);
  }

  async #wait(authorization: string | undefined, log: OnProblem): Promise<Outcome> {
    try {
      return this.#outcome(await this.#native.check(authorization), log);
    } catch (error) {
      throw translated(error);
    }
  }

  #outcome({ response, token, problem }: BearerResult, log: OnProblem): Outcome {
    tell(problem, this.#onProblem, log);
    return { response, auth: token === undefined ? NOBODY : new BearerAuth(verifiedOf(token)) };
  }
}

/** The shared verifier, which was made with all its options. */
function only({ verifier, ...rest }: { verifier: Verifier }): Verifier {
  const [more] = Object.keys(rest);
  if (more !== undefined) throw new TypeError(`the option ${more} belongs to the verifier, which is given`);
  return verifier;
}

class BearerAuth implements FlyteAuth {
  readonly session = undefined;
  #user: User | undefined;

  constructor(readonly token: VerifiedToken) {}

  /** Read when it is asked for: most handlers want a scope or the subject. */
  get user(): User {
    return (this.#user ??= this.token.claims);
  }
}
