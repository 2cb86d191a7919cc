// A registry of packages for npm's own client, on loopback: it has the packed files that it is given, and nothing else.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename } from 'node:path';

export class Registry {
  /** What was asked for, by name. */
  asked = [];
  #server;
  #packages = new Map();

  /** @param {string[]} files packed with `npm pack` */
  static async start(files) {
    const registry = new Registry();
    for (const file of files) {
      const manifest = JSON.parse(execFileSync('tar', ['-xOzf', file, 'package/package.json'], { encoding: 'utf8' }));
      registry.#packages.set(manifest.name, { manifest, file });
    }
    registry.#server = createServer((request, response) => registry.#answer(request, response)).listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    registry.url = `http://127.0.0.1:${registry.#server.address().port}`;
    return registry;
  }

  #answer(request, response) {
    const [, name, , file] = decodeURIComponent(request.url).split('/');
    const found = this.#packages.get(name);
    if (!file) this.asked.push(name);
    if (!found) return response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"Not found"}');
    const bytes = readFileSync(found.file);
    if (file) return response.end(bytes);
    const { version } = found.manifest;
    const dist = {
      tarball: `${this.url}/${name}/-/${basename(found.file)}`,
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    };
    const packument = { name, 'dist-tags': { latest: version }, versions: { [version]: { ...found.manifest, dist } } };
    return response.setHeader('content-type', 'application/json').end(JSON.stringify(packument));
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
