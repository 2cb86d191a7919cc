/** What a browser does with an address, as far as the sandbox needs one: it follows redirects. */

import * as http from 'node:http';
import * as https from 'node:https';

/** How to visit. */
export interface VisitOptions {
  /** Roots to trust (PEM). */
  ca: Buffer | undefined;
  /** Milliseconds for each address. */
  patience: number;
}

const MOST_REDIRECTS = 10;

/** Gets an address, and where it redirects to. An agent of its own: no proxy of the environment leads to loopback. */
export async function visit(url: string, { ca, patience }: VisitOptions): Promise<void> {
  let next: string | undefined = url;
  for (let left = MOST_REDIRECTS; next !== undefined && left > 0; left -= 1) {
    const place: string = next;
    const location = await new Promise<string | undefined>((resolve, reject) => {
      const options = { signal: AbortSignal.timeout(patience) };
      const answered = (response: http.IncomingMessage): void => {
        response.resume().on('error', reject);
        response.on('end', () => resolve(response.headers.location));
      };
      const request = place.startsWith('https:')
        ? https.get(place, { ...options, agent: new https.Agent(ca && { ca }) }, answered)
        : http.get(place, { ...options, agent: new http.Agent() }, answered);
      request.on('error', reject);
    });
    next = location === undefined ? undefined : new URL(location, place).href;
  }
}
