// A gRPC service with all four kinds of call that takes each `authorization` it is told to, and remembers what came.
import grpc from '@grpc/grpc-js';

const text = {
  requestSerialize: Buffer.from,
  requestDeserialize: String,
  responseSerialize: Buffer.from,
  responseDeserialize: String,
};
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  ...text,
});

export const ECHO = {
  unary: method('Unary', false, false),
  responses: method('Responses', false, true),
  requests: method('Requests', true, false),
  both: method('Both', true, true),
};

export class GrpcService {
  /** Metadata of each call, as `[name, values]`. */
  seen = [];
  /** Which calls are rejected: gets the number of the call, from 1; gives a status or nothing. */
  verdict = () => undefined;
  /** Sends these headers before a rejection. */
  early = undefined;
  #server = new grpc.Server();

  static async start(credentials = grpc.ServerCredentials.createInsecure()) {
    const service = new GrpcService();
    service.#server.addService(ECHO, {
      unary: (call, callback) => {
        const rejection = service.#rejection(call);
        if (rejection) callback(rejection);
        else callback(null, `echo ${call.request}`);
      },
      responses: (call) => {
        const rejection = service.#rejection(call);
        if (rejection && service.after === undefined) return call.emit('error', rejection);
        for (const at of [1, 2, 3]) {
          if (rejection && at > service.after) return call.emit('error', rejection);
          call.write(`${call.request} ${at}`);
        }
        call.end();
      },
      requests: (call, callback) => {
        const rejection = service.#rejection(call);
        if (rejection) return callback(rejection);
        const all = [];
        call.on('data', (message) => all.push(message));
        call.on('end', () => callback(null, all.join('+')));
      },
      both: (call) => {
        const rejection = service.#rejection(call);
        if (rejection) return call.emit('error', rejection);
        call.on('data', (message) => call.write(`echo ${message}`));
        call.on('end', () => call.end());
      },
    });
    service.port = await new Promise((resolve, reject) => {
      service.#server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
    service.address = `127.0.0.1:${service.port}`;
    return service;
  }

  /** How many messages a stream of responses has before its rejection. */
  after = undefined;

  #rejection(call) {
    this.seen.push(call.metadata.getMap());
    this.values = call.metadata.get('authorization');
    if (this.early) call.sendMetadata(this.early);
    const code = this.verdict(this.seen.length, call.metadata);
    return code === undefined ? undefined : Object.assign(new Error('rejected'), { code, details: 'rejected' });
  }

  /** A client whose calls go through `interceptors`. */
  client(interceptors, options = {}, credentials = grpc.credentials.createInsecure()) {
    const Client = grpc.makeGenericClientConstructor(ECHO, 'test.Echo');
    return new Client(this.address, credentials, { interceptors, ...options });
  }

  async stop() {
    this.#server.forceShutdown();
  }
}
