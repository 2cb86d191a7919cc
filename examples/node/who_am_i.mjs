// Who am I? A whole program that uses the machine's Flyte login, with fetch.
//
//     npx flyte-auth login http://127.0.0.1:8088      # once, for every tool on this machine
//     node who_am_i.mjs http://127.0.0.1:8088
//
// Machine credentials work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.
import { FlyteAuthError, Session } from 'flyte-auth';
import { createFetch } from 'flyte-auth/fetch';

async function main(endpoint) {
  const session = Session.forEndpoint(endpoint);

  // The header for one call, fresh each time you ask.
  const answer = await fetch(`${endpoint}/me`, { headers: await session.headers() });
  console.log(`/me answered ${answer.status}`);

  // For many calls: also sends a request once more after 401, and shows the token to no other host.
  const flyte = createFetch(session);
  const { subject } = await (await flyte(`${endpoint}/me`)).json();
  console.log(`signed in as ${subject}`);
  try {
    await flyte('https://elsewhere.example/');
  } catch (error) {
    console.log(`elsewhere: ${error.reason}`);
  }
}

try {
  await main(process.argv[2]);
} catch (error) {
  if (!(error instanceof FlyteAuthError)) throw error;
  console.error(`who_am_i: ${error.message}`);
  process.exitCode = 1;
}
