// The projects of a Flyte deployment, with your login: what pyflyte does, by grpc-js and Flyte's own protocol.
//
//     npm install flyte-auth @grpc/grpc-js @flyteorg/flyteidl protobufjs
//     node list_projects.ts dns:///flyte.example.org      # Node 22.18 or later runs TypeScript as it is
//
// Without an argument the endpoint is the one of pyflyte's configuration. The first run signs you in; machine credentials
// work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.
import idl from '@flyteorg/flyteidl/gen/pb-js/flyteidl.js';
import { Client, status, type ServiceError } from '@grpc/grpc-js';
import { FlyteAuthError, LoginRequiredError, Session } from 'flyte-auth';
import { channel } from 'flyte-auth/grpc';

async function signedIn(endpoint: string | undefined): Promise<Session> {
  const session = Session.fromConfig({ endpoint });
  try {
    await session.token();
  } catch (error) {
    // Asks whoever sits there; in CI and cron nobody does, and the error says what to do.
    if (!(error instanceof LoginRequiredError && process.stderr.isTTY)) throw error;
    await session.login();
  }
  return session;
}

/** Flyte's admin service over a channel. Its messages are encoded already: they pass as they are. */
function adminService(client: Client) {
  const asIs = (bytes: Uint8Array) => bytes as Buffer;
  return new idl.flyteidl.service.AdminService(({ name }, request, callback) => {
    const method = `/flyteidl.service.AdminService/${name}`;
    client.makeUnaryRequest(method, asIs, asIs, request, { deadline: Date.now() + 30_000 }, callback);
  });
}

async function* projects(flyte: ReturnType<typeof adminService>) {
  let token = '';
  do {
    const page = await flyte.listProjects({ limit: 100, token });
    yield* page.projects;
    token = page.token;
  } while (token);
}

async function main(endpoint?: string) {
  // Each call of this client has the token, refreshed when it is due; one that the server rejects is replaced once.
  const client = new Client(...channel(await signedIn(endpoint)));
  try {
    for await (const { id, name } of projects(adminService(client))) console.log(`${id}  ${name}`);
  } finally {
    client.close();
  }
}

const isOfGrpc = (error: unknown): error is ServiceError => error instanceof Error && 'details' in error;
try {
  await main(process.argv[2]);
} catch (error) {
  if (error instanceof FlyteAuthError) console.error(`list_projects: ${error.message}`);
  else if (isOfGrpc(error)) console.error(`list_projects: ${status[error.code]}: ${error.details}`);
  else throw error;
  process.exitCode = 1;
}
