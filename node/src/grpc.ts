/**
 * gRPC with a session's token, for `@grpc/grpc-js`.
 *
 * ```js
 * import { Session } from 'flyte-auth';
 * import { channel } from 'flyte-auth/grpc';
 *
 * const client = new AdminServiceClient(...channel(Session.fromConfig()));
 * ```
 *
 * `authInterceptor` tells what happens to a call.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';

import {
  type CallCredentials,
  type ChannelCredentials,
  type ClientOptions,
  credentials,
  type Interceptor,
  type InterceptingCall,
  Metadata,
} from '@grpc/grpc-js';

import { configError } from './errors';
import { AuthCall } from './grpc/call';
import { failure } from './grpc/status';
import type { Target } from './native';
import { nativeSession, type Session } from './session';
import { sourceOf } from './source';
import type { TokenSource } from './token';

/**
 * An interceptor for all four kinds of call.
 *
 * Every call gets the session's header, which replaces what the caller had under its name. After `UNAUTHENTICATED` the
 * token is invalidated, and the call is made once more with another one, within its deadline, where nothing was
 * delivered: no response, no header of the server, and of a stream of requests none was sent. No other status is touched.
 * Where the endpoint has no auth, calls pass as they are.
 *
 * A call waits for a token only if none is in memory, at most until its deadline; cancelling it ends the wait. What goes
 * wrong with the session is the call's status: `UNAVAILABLE` where trying again can help, else `UNAUTHENTICATED`; the
 * error's `cause` is the session's own error.
 *
 * Put it last: interceptors before it, which may make a call again, then get a fresh token each time.
 */
export function authInterceptor(session: TokenSource): Interceptor {
  const source = sourceOf(session);
  // grpc-js calls what an interceptor gives by the methods of its interface alone.
  return (options, nextCall) => new AuthCall(source, options, nextCall) as unknown as InterceptingCall;
}

/**
 * Call credentials: the token goes out with every call, and nothing is tried again. gRPC sends them over TLS alone;
 * `authInterceptor` does more and also serves a sandbox without TLS.
 */
export function callCredentials(session: TokenSource): CallCredentials {
  const source = sourceOf(session);
  return credentials.createFromMetadataGenerator((_, callback) => {
    source.token().then(
      (token) => {
        const metadata = new Metadata();
        if (token) metadata.set(token.headerName, token.headerValue);
        callback(null, metadata);
      },
      (error: unknown) => callback(Object.assign(new Error('no token'), failure(error))),
    );
  });
}

/**
 * Credentials of a channel to the session's endpoint: TLS with its CA, its client certificate, or none.
 *
 * @throws {ConfigError} reason `no_endpoint`: the session has an issuer alone; `certificate_unreadable`.
 */
export function channelCredentials(session: Session): ChannelCredentials {
  return credentialsFor(target(session));
}

/**
 * What a client of the session's endpoint is made with: address, credentials, and options with the interceptor after
 * those of `options`.
 *
 * A proxy is grpc-js' own affair (`grpc_proxy`, `https_proxy`): it takes none but from the environment.
 *
 * @throws {ConfigError} as `channelCredentials`.
 */
export function channel(
  session: Session,
  options: ClientOptions = {},
): [address: string, credentials: ChannelCredentials, options: ClientOptions] {
  const at = target(session);
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  const interceptors = [...(options.interceptors ?? []), authInterceptor(session)];
  return [`${host}:${at.port}`, credentialsFor(at), { ...options, interceptors }];
}

function target(session: Session): Target {
  const found = nativeSession(session).target;
  if (found) return found;
  throw configError(
    'no_endpoint',
    `the session with ${session.endpoint} knows no Flyte endpoint`,
    'Configure an endpoint beside the issuer',
  );
}

function credentialsFor(at: Target): ChannelCredentials {
  if (!at.tls) return credentials.createInsecure();
  // grpc-js takes these in place of Node's own roots; the CA is one more.
  const roots = at.caCert ? Buffer.from([...rootCertificates, ...certificates(at.caCert)].join('\n')) : null;
  const own = at.clientCert && at.clientKey ? [read(at.clientKey), read(at.clientCert)] : [null, null];
  const verify = at.insecureSkipVerify
    ? { rejectUnauthorized: false, checkServerIdentity: () => undefined }
    : undefined;
  return credentials.createSsl(roots, own[0], own[1], verify);
}

/** A PEM file, or a folder of them. */
function certificates(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [readFileSync(path, 'utf8')];
    return readdirSync(path)
      .filter((name) => /\.(pem|crt|cer)$/.test(name))
      .map((name) => readFileSync(join(path, name), 'utf8'));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): Error {
  const why = (cause as NodeJS.ErrnoException).code ?? 'it cannot be read';
  return configError('certificate_unreadable', `${path}: ${why}`, 'Correct the path in the configuration');
}
