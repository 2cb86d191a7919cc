/** Who asks, as a person knows it: for a prompt. */

import { basename } from 'node:path';

/** The running script's name; `node` (`deno`, `bun`) without one. */
export function program(): string {
  const script = process.argv[1];
  return basename(script === undefined || script.startsWith('-') ? process.execPath : script);
}
