/** What goes wrong with a session, as gRPC says it. */

import { Metadata, status, type StatusObject } from '@grpc/grpc-js';

import { FlyteAuthError } from '../errors';

/** The status of a call that got no token; `cause` goes on into the error that the caller sees. @internal */
export function failure(error: unknown): StatusObject & { cause: unknown } {
  const later = error instanceof FlyteAuthError && error.retryable;
  const details = error instanceof Error ? error.message : 'no token';
  const code = later ? status.UNAVAILABLE : status.UNAUTHENTICATED;
  return { code, details, metadata: new Metadata(), cause: error };
}

/** The status of a call that ended here. @internal */
export function ended(code: status, details: string): StatusObject {
  return { code, details, metadata: new Metadata() };
}
