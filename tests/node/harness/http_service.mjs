// HTTP servers for fetch clients: what they answer is said by each test, what came is remembered.
import http from 'node:http';

export class HttpService {
  /** Each request: `{method, url, headers, body}`; `headers` as they came, several of one name apart. */
  seen = [];
  /** Gets the request and its number, from 1; gives `{status, headers, body}`. */
  answer = () => ({ status: 200, body: 'ok' });

  static async start() {
    const service = new HttpService();
    service.server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const { method, url, headersDistinct: headers } = request;
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString() };
      service.seen.push(seen);
      const { status = 200, headers: own = {}, body = '' } = service.answer(seen, service.seen.length);
      response.writeHead(status, own).end(body);
    });
    await new Promise((resolve) => service.server.listen(0, '127.0.0.1', resolve));
    service.origin = `http://127.0.0.1:${service.server.address().port}`;
    return service;
  }

  /** `authorization` of each request. */
  get sent() {
    return this.seen.map(({ headers }) => headers.authorization);
  }

  reset() {
    Object.assign(this, { seen: [], answer: () => ({ status: 200, body: 'ok' }) });
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
