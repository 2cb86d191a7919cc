/**
 * Flyte authentication: one login for every program on this machine, whatever its language.
 *
 * ```js
 * import { Session } from 'flyte-auth';
 *
 * const session = Session.fromConfig(); // as flytekit and flyte would be configured
 * await session.headers(); // { authorization: 'Bearer …' }, refreshed when it is due
 * ```
 *
 * `Session` gets tokens, `Verifier` checks those that a service receives. Each in a module of its own, importing only what
 * it plugs into: `flyte-auth/grpc`, `/connect`, `/fetch`, `/express`, `/fastify`, `/web`, `/authjs`, `/testing`.
 */

export {
  AccessDeniedError,
  ConfigError,
  FlyteAuthError,
  InternalError,
  LoginCancelledError,
  LoginRequiredError,
  NetworkError,
  ServerError,
  TokenStoreError,
  type ErrorKind,
  type ErrorMembers,
} from './errors';
export { LoginEvent, type BeginLoginOptions, type Flow, type LoginOptions } from './login';
export type { Identity, LoginOutcome, LogoutOutcome, Status } from './outcomes';
export { PendingLogin, type FinishOptions } from './pending_login';
export { beginLogin, login, Session, type LogoutOptions, type SessionOptions, type Store } from './session';
export { Token, type TokenSource } from './token';
export {
  VerifiedToken,
  Verifier,
  type IdTokenClaims,
  type IdTokenOptions,
  type LogoutTokenClaims,
  type LogoutTokenOptions,
  type VerifierOptions,
} from './verifier';
export type { WaitOptions } from './wait';
