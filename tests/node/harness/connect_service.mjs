// A Connect service with all four kinds of call, over HTTP/2 without TLS, that remembers what came.
import http2 from 'node:http2';

import { create, createFileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_wrappers } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';

const method = (name, clientStreaming, serverStreaming) => ({
  name,
  inputType: '.google.protobuf.StringValue',
  outputType: '.google.protobuf.StringValue',
  clientStreaming,
  serverStreaming,
});
const WRAPPERS = 'google/protobuf/wrappers.proto';
const file = create(FileDescriptorProtoSchema, {
  name: 'echo.proto',
  package: 'test',
  syntax: 'proto3',
  dependency: [WRAPPERS],
  service: [
    {
      name: 'Echo',
      method: [
        method('Unary', false, false),
        method('Responses', false, true),
        method('Requests', true, false),
        method('Both', true, true),
      ],
    },
  ],
});

/** The descriptor of the service. */
export const Echo = createFileRegistry(file, (name) =>
  name === WRAPPERS ? file_google_protobuf_wrappers.proto : undefined,
).getService('test.Echo');

export class ConnectService {
  /** Headers of each call. */
  seen = [];
  /** Which calls are rejected: gets the number of the call, from 1, and its headers; gives a `Code` or nothing. */
  verdict = () => undefined;
  /** How many messages a stream of responses has before its rejection. */
  after = 0;

  static async start() {
    const service = new ConnectService();
    const judged = (context) => {
      service.seen.push(context.requestHeader);
      const code = service.verdict(service.seen.length, context.requestHeader);
      return code === undefined ? undefined : new ConnectError('rejected', code);
    };
    const judge = (context) => {
      const rejection = judged(context);
      if (rejection) throw rejection;
    };
    const routes = (router) =>
      router.service(Echo, {
        unary: ({ value }, context) => {
          judge(context);
          return { value: `echo ${value}` };
        },
        async *responses({ value }, context) {
          const rejection = judged(context);
          for (const at of [1, 2, 3]) {
            if (rejection && at > service.after) throw rejection;
            yield { value: `${value} ${at}` };
          }
        },
        requests: async (messages, context) => {
          judge(context);
          const all = [];
          for await (const { value } of messages) all.push(value);
          return { value: all.join('+') };
        },
        async *both(messages, context) {
          judge(context);
          for await (const { value } of messages) yield { value: `echo ${value}` };
        },
      });
    service.server = http2.createServer(connectNodeAdapter({ routes }));
    service.sessions = new Set();
    service.server.on('session', (one) => service.sessions.add(one));
    await new Promise((resolve) => service.server.listen(0, '127.0.0.1', resolve));
    service.baseUrl = `http://127.0.0.1:${service.server.address().port}`;
    return service;
  }

  reset() {
    Object.assign(this, { seen: [], verdict: () => undefined, after: 0 });
  }

  async stop() {
    this.sessions.forEach((one) => one.destroy());
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export const UNAUTHENTICATED = Code.Unauthenticated;
