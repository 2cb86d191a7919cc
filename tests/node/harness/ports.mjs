// Ports of loopback.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** The port of the redirect that Flyte registers for every client. */
export const CALLBACK_PORT = 53593;

/** A port at which nobody listens. */
export async function closedPort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether somebody listens there. */
export async function isListening(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
