// A login that the program shows itself, in two steps: begin, then wait for the person.
//
//     node two_step_login.mjs http://127.0.0.1:8088
import { FlyteAuthError, Session } from 'flyte-auth';

async function main(endpoint) {
  const session = Session.forEndpoint(endpoint);
  // Ctrl-C gives the login up: its lock is free at once.
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());

  const pending = await session.beginLogin({ flow: 'device', signal: interrupted.signal });
  if (pending === null) return console.log(`${session.endpoint} has no auth`);
  console.log(`open ${pending.url} and enter ${pending.userCode}`);
  await pending.finish({ signal: interrupted.signal });
  const { email, subject } = await session.whoami();
  console.log(`signed in as ${email ?? subject}`);
}

try {
  await main(process.argv[2]);
} catch (error) {
  if (error.name === 'AbortError') process.exitCode = 130;
  else if (!(error instanceof FlyteAuthError)) throw error;
  else {
    console.error(`two_step_login: ${error.message}`);
    process.exitCode = 1;
  }
}
