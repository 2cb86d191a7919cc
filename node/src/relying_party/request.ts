/** Requests and responses as Rust has them. */

import type { WebRequest } from '../native';

/** What Rust reads of a request; nothing else goes there. */
const READ = [
  'accept',
  'content-type',
  'cookie',
  'origin',
  'referer',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-purpose',
  'x-requested-with',
] as const;

/** More than Rust takes: whoever sends more has sent too much, and is not read to the end. */
export const LONGEST_BODY = 64 * 1024;

/** The request as Rust takes it; `header` gives the value of a name in lower case. @internal */
export function webRequest(
  method: string,
  target: string,
  header: (name: string) => string | string[] | null | undefined,
  body?: Buffer,
): WebRequest {
  const headers: string[] = [];
  for (const name of READ) {
    const value = header(name);
    if (typeof value === 'string') headers.push(name, value);
  }
  return body === undefined ? { method, target, headers } : { method, target, headers, body };
}

/** A path and a query without the query. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** A flat list of names and values in pairs. */
export function* pairs<T>(flat: readonly T[]): Generator<[name: T, value: T]> {
  for (let at = 0; at + 1 < flat.length; at += 2) yield [flat[at] as T, flat[at + 1] as T];
}

/** Gathers a body, up to one byte more than may be: too much is Rust's to refuse, and must be seen to be. */
export async function readBody(body: AsyncIterable<unknown> | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array | string>) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    parts.push(bytes);
    length += bytes.length;
    if (length > LONGEST_BODY) break;
  }
  return Buffer.concat(parts).subarray(0, LONGEST_BODY + 1);
}

/**
 * What a parser made of a form, as a form again: a name that came twice comes twice, so that Rust sees it. What is no
 * text (`name[key]=value` of some parsers) is none of ours.
 */
export function formOf(parsed: unknown): Buffer {
  if (Buffer.isBuffer(parsed)) return parsed.subarray(0, LONGEST_BODY + 1);
  if (typeof parsed === 'string') return Buffer.from(parsed).subarray(0, LONGEST_BODY + 1);
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parsed ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (typeof each === 'string') form.append(name, each);
    }
  }
  return Buffer.from(form.toString()).subarray(0, LONGEST_BODY + 1);
}
