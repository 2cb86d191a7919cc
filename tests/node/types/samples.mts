// A user's program, for the type checker alone (`types.test.mjs`): what each public name takes and gives.
import {
  AccessDeniedError,
  beginLogin,
  ConfigError,
  FlyteAuthError,
  login,
  LoginEvent,
  LoginRequiredError,
  NetworkError,
  PendingLogin,
  Session,
  Token,
  VerifiedToken,
  Verifier,
  type ErrorKind,
  type Identity,
  type LoginOutcome,
  type LogoutOutcome,
  type SessionOptions,
  type Status,
  type TokenSource,
} from 'flyte-auth';
import { sandbox, Sandbox, type Client } from 'flyte-auth/testing';

/** Fails to compile unless both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<A>() {
  return <B,>(_value: B, ..._same: Same<A, B> extends true ? [] : ['another type']): void => {};
}

export function opens(): void {
  is<Session>()(Session.fromConfig());
  is<Session>()(new Session({ endpoint: 'dns:///flyte.example' }));
  is<Session>()(
    Session.fromConfig({ config: new URL('file:///x'), profile: 'prod', store: 'memory', interactive: 'never' }),
  );
  is<Session>()(Session.forEndpoint('dns:///flyte.example', { scopes: ['all'] as const, extraParams: { a: 'b' } }));
  // What the environment may lack.
  Session.fromConfig({ endpoint: process.env['X'], clientSecret: undefined });
  const options: SessionOptions = { caCert: '/ca.pem' };
  Session.fromConfig(options);
  // @ts-expect-error no such store
  Session.fromConfig({ store: 'cellar' });
  // @ts-expect-error no such word
  Session.fromConfig({ interactive: 'sometimes' });
  // @ts-expect-error a flag
  Session.fromConfig({ insecure: 'yes' });
  // @ts-expect-error mistyped
  Session.fromConfig({ endpiont: 'x' });
  // @ts-expect-error a path is an option
  Session.fromConfig('config.yaml');
  // @ts-expect-error an endpoint is needed
  Session.forEndpoint();
  // @ts-expect-error said twice
  Session.forEndpoint('x', { endpoint: 'y' });
}

export async function uses(session: Session, signal: AbortSignal): Promise<void> {
  const token = await session.token({ signal });
  is<Token | null>()(token);
  is<Token | null>()(session.tryToken());
  is<Record<string, string>>()(await session.headers());
  await fetch('https://flyte.example', { headers: await session.headers() });
  if (token !== null) {
    is<string>()(token.value);
    is<string>()(token.headerName);
    is<string>()(token.headerValue);
    is<Date | null>()(token.expiresAt);
    is<boolean>()(token.equals(token));
    session.invalidate(token);
    // @ts-expect-error nothing of a token changes
    token.value = 'another';
  }
  // @ts-expect-error there may be none
  token.value;
  session.invalidate();
  // @ts-expect-error no text
  session.invalidate('text');
  // @ts-expect-error tokens are not made by hand
  new Token();
  const status: Status = await session.status();
  is<string>()(status.endpoint);
  is<readonly string[]>()(status.scopes);
  is<Date | null>()(status.accessTokenExpiresAt);
  // @ts-expect-error camelCase
  status.signed_in;
  const identity: Identity = await session.whoami({ signal });
  is<string | null>()(identity.email);
  const outcome: LogoutOutcome = await session.logout({ revoke: true, signal });
  is<boolean | null>()(outcome.revoked);
  is<FlyteAuthError | null>()(outcome.problem);
  is<string>()(session.endpoint);
  is<readonly string[]>()(session.warnings);
  is<void>()(session.close());
  // @ts-expect-error the signal is an option
  await session.token(signal);
  const source: TokenSource = session;
  await source.headers();
}

export async function signsIn(session: Session, signal: AbortSignal): Promise<void> {
  const outcome = await session.login({
    flow: 'device',
    noBrowser: true,
    timeout: 60_000,
    signal,
    onEvent: (event) => {
      is<LoginEvent>()(event);
      is<'explain' | 'url' | 'user_code' | 'waiting' | 'fallback'>()(event.kind);
      is<string | null>()(event.userCode);
      is<number | null>()(event.remaining);
    },
    openBrowser: async (url) => url.length > 0,
    paste: async (options) => (options.signal.aborted ? '' : 'http://localhost:53593/callback?code=x&state=y'),
  });
  is<LoginOutcome>()(outcome);
  is<Date | null>()(outcome.expiresAt);
  await session.login({ onEvent: console.log, openBrowser: () => {}, paste: () => 'x' });
  // @ts-expect-error no such way
  await session.login({ flow: 'carrier-pigeon' });
  // @ts-expect-error a line of text
  await session.login({ paste: () => 7 });
  // @ts-expect-error milliseconds
  await session.login({ timeout: '60' });
  // @ts-expect-error a login in two steps has no callbacks
  await session.beginLogin({ onEvent: () => {} });
  is<LoginOutcome>()(await login({ endpoint: 'dns:///flyte.example', flow: 'paste', clientId: 'x' }));
  const pending = await beginLogin({ endpoint: 'x', signal });
  is<PendingLogin | null>()(pending);
  // @ts-expect-error there may be none
  await pending.finish();
  if (pending !== null) {
    is<string>()(pending.url);
    is<string | null>()(pending.userCode);
    is<Date>()(pending.expiresAt);
    is<LoginOutcome>()(await pending.finish({ redirectUrl: 'x', timeout: 1500, signal }));
    pending.cancel();
  }
}

export async function ends(): Promise<void> {
  using session = Session.fromConfig();
  using pending = await session.beginLogin();
  await using other = Session.fromConfig();
  await pending?.finish();
  await other.token();
}

export async function verifies(bearer: string, signal: AbortSignal): Promise<void> {
  const verifier = new Verifier({
    issuer: 'https://idp.example',
    audience: ['a', 'b'],
    requiredScopes: ['all'],
    clockSkew: 0,
  });
  new Verifier({ issuer: 'https://idp.example', anyAudience: true, jwks: { keys: [] } });
  const token = await verifier.verify(bearer, { signal });
  is<VerifiedToken>()(token);
  is<string | null>()(token.subject);
  is<readonly string[]>()(token.scopes);
  is<boolean>()(token.hasScope('all'));
  is<Record<string, unknown>>()(token.claims);
  is<Date | null>()(token.expiresAt);
  is<string>()((await verifier.verifyIdToken(bearer, { clientId: 'x', nonce: 'n' })).subject);
  is<string>()((await verifier.verifyLogoutToken(bearer, { clientId: 'x' })).tokenId);
  // @ts-expect-error an issuer is needed
  new Verifier({ audience: 'x' });
  // @ts-expect-error no such profile
  new Verifier({ issuer: 'https://idp.example', profile: 'saml' });
  // @ts-expect-error text
  await verifier.verify(Buffer.from(bearer));
  // @ts-expect-error whose it is
  await verifier.verifyIdToken(bearer);
}

export async function fails(session: Session): Promise<string | null> {
  try {
    await session.headers();
  } catch (error) {
    if (error instanceof NetworkError) {
      is<'FLYTE_AUTH_NETWORK'>()(error.code);
      is<boolean>()(error.retryable);
      is<number | null>()(error.retryAfter);
      return error.message;
    }
    if (error instanceof ConfigError) return error.setting;
    if (error instanceof AccessDeniedError) return error.oauthError;
    if (error instanceof FlyteAuthError) {
      is<ErrorKind>()(error.kind);
      is<string>()(error.reason);
      is<unknown>()(error.cause);
      return error.nextStep;
    }
  }
  throw new LoginRequiredError('made up for a test', { reason: 'not_signed_in' });
}

export async function tests(): Promise<void> {
  const client: Client = { id: 'robot', secret: 'made-up' };
  await using server = await sandbox({ tls: true, autoApprove: 'alice@example.org', clients: [client] });
  is<Sandbox>()(server);
  is<string | null>()(server.https);
  is<Session>()(server.session({ authType: 'Pkce' }));
  await server.fault('503', { count: 2, path: '/oauth2/token' });
  await server.signIn(server.session(), 'device');
  // @ts-expect-error its end is waited for
  using _never = await sandbox();
}
