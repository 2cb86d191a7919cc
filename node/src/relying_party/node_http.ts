/** Requests and responses of `node:http`, as Express and Fastify have them. */

import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';

import type { WebRequest, WebResponse } from '../native';
import type { DueCookies } from './cookies';
import { formOf, pairs, readBody, webRequest } from './request';

/** The request as Rust takes it. @internal */
export function nodeRequest(request: IncomingMessage, target: string, body?: Buffer): WebRequest {
  const { headers } = request;
  return webRequest(request.method ?? 'GET', target, (name) => headers[name], body);
}

/** The body, also where a parser of the app was there first. */
export async function nodeBody(request: IncomingMessage & { body?: unknown }): Promise<Buffer> {
  // A parser that was not meant leaves an empty object, and the body unread.
  return request.readableDidRead ? formOf(request.body) : readBody(request);
}

/** Sends a response; cookies that the app set before stay. @internal */
export function send(response: ServerResponse, answer: WebResponse): void {
  response.statusCode = answer.status;
  for (const [name, value] of pairs(answer.headers)) {
    if (name.toLowerCase() === 'set-cookie') addCookies(response, [value]);
    else response.setHeader(name, value);
  }
  response.end(answer.body);
}

function listed(value: OutgoingHttpHeader | undefined): string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [String(value)];
}

function addCookies(response: ServerResponse, values: readonly string[]): void {
  response.setHeader('set-cookie', [...listed(response.getHeader('set-cookie')), ...values]);
}

/** Adds the cookies that are due once the app sends the response's head, however it does that. */
export function addWhenSent(response: ServerResponse, cookies: DueCookies): void {
  const writeHead = response.writeHead;
  let added = false;
  // Every way to send leads here: `end`, `write` and `flushHeaders` without a head call it themselves.
  response.writeHead = function (this: ServerResponse, ...given: unknown[]): ServerResponse {
    const due = added ? [] : cookies.now();
    added = true;
    if (due.length > 0 && !this.headersSent) {
      const last = given.length - 1;
      const head = last > 0 && withCookies(given[last], due);
      if (head) given[last] = head;
      else addCookies(this, due);
    }
    return Reflect.apply(writeHead, this, given) as ServerResponse;
  } as ServerResponse['writeHead'];
}

/**
 * The headers of a `writeHead` call with ours after its own cookies, since they replace those set before; false if they
 * have none.
 */
function withCookies(headers: unknown, due: readonly string[]): object | false {
  if (typeof headers !== 'object' || headers === null) return false;
  if (!Array.isArray(headers)) {
    const name = Object.keys(headers).find(isCookie);
    return name !== undefined && { ...headers, [name]: [...listed((headers as OutgoingHttpHeaders)[name]), ...due] };
  }
  const inPairs = Array.isArray(headers[0]);
  const given = inPairs ? (headers as Pair[]) : [...pairs(headers as OutgoingHttpHeader[])];
  const own = given.filter(([name]) => isCookie(name)).flatMap(([, value]) => listed(value));
  // Node takes pairs only where no header was set before: ours must not be.
  if (own.length === 0 && !inPairs) return false;
  // As one entry: of several the last one replaces the others before Node 22.
  const others = given.filter(([name]) => !isCookie(name));
  const all: Pair[] = [...others, ['set-cookie', [...own, ...due]]];
  return inPairs ? all : all.flat(1);
}

type Pair = [name: OutgoingHttpHeader, value: OutgoingHttpHeader];

function isCookie(name: OutgoingHttpHeader): boolean {
  return String(name).toLowerCase() === 'set-cookie';
}
