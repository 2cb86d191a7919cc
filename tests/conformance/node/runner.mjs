// The Node runner: does what the peer says, one JSON line in, one JSON line out (`tests/conformance/README.md`).
//
// Through the public API of `flyte-auth` only, installed in tests/node; nothing here decides anything.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { FlyteAuthError, Session } = createRequire(new URL('../../node/', import.meta.url))('flyte-auth');

/** What the commands name: sessions, logins that were begun, tokens that were kept. */
const sessions = new Map();
const logins = new Map();
const tokens = new Map();

/** What the cases name in snake case is in camel case here; names of parameters and headers are data. */
const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const renamed = (members, rename) =>
  Object.fromEntries(Object.entries(members).map(([name, value]) => [rename(name), value]));

const time = (date) => date?.toISOString() ?? null;
const plain = (value) => (value instanceof Date ? time(value) : value);
const shown = (token) =>
  token && { value: token.value, expires_at: time(token.expiresAt), header_name: token.headerName };

async function perform(command) {
  const name = command.session ?? 'main';
  const session = sessions.get(name);
  switch (command.do) {
    case 'open':
      sessions.set(name, Session.fromConfig(renamed(command.options ?? {}, camelCase)));
      return {};
    case 'token': {
      if (command.count) {
        return (await Promise.all(Array.from({ length: command.count }, () => session.token()))).map(shown);
      }
      const token = await session.token();
      if (command.keep) tokens.set(command.keep, token);
      return shown(token);
    }
    case 'headers':
      return session.headers();
    case 'status':
    case 'whoami': {
      const members = Object.entries(await session[command.do]());
      return renamed(Object.fromEntries(members.map(([member, value]) => [member, plain(value)])), snakeCase);
    }
    case 'invalidate':
      session.invalidate(command.token == null ? undefined : tokens.get(command.token));
      return {};
    case 'begin_login': {
      const login = await session.beginLogin({ flow: command.flow, timeout: 120_000 });
      if (login === null) return null;
      logins.set(name, login);
      return { url: login.url, user_code: login.userCode, expires_at: time(login.expiresAt) };
    }
    case 'finish':
      await taken(name).finish({ redirectUrl: command.redirect_url ?? undefined });
      return {};
    case 'cancel':
      taken(name).cancel();
      return {};
    case 'logout': {
      const outcome = await session.logout({ revoke: Boolean(command.revoke) });
      if (outcome.problem) throw outcome.problem;
      return { was_signed_in: outcome.wasSignedIn };
    }
    default:
      throw new Error(`no command is called ${command.do}`);
  }
}

function taken(name) {
  const login = logins.get(name);
  logins.delete(name);
  return login;
}

async function answer(line) {
  try {
    return { ok: await perform(JSON.parse(line)) };
  } catch (error) {
    if (!(error instanceof FlyteAuthError)) throw error;
    const { kind, reason, retryable, message } = error;
    return { error: { kind, code: reason, retryable, message } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
