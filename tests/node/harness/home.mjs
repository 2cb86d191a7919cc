// Homes for tests: nobody reads or writes the developer's own.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What may come through from the developer's environment. */
const KEPT = ['PATH', 'LANG', 'TZ'];

/** An empty home in a temporary folder; `remove()` ends it. */
export class Home {
  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'flyte-auth-home-'));
    for (const folder of ['tmp', 'state', '.config']) mkdirSync(join(this.path, folder));
    mkdirSync(join(this.path, 'run'), { mode: 0o700 });
  }

  /** The whole environment of a process that lives here. */
  env(settings = {}) {
    const kept = KEPT.filter((name) => name in process.env).map((name) => [name, process.env[name]]);
    return {
      ...Object.fromEntries(kept),
      HOME: this.path,
      FLYTE_AUTH_HOME: join(this.path, 'state'),
      FLYTE_AUTH_STORE: 'file',
      XDG_CONFIG_HOME: join(this.path, '.config'),
      XDG_RUNTIME_DIR: join(this.path, 'run'),
      TMPDIR: join(this.path, 'tmp'),
      ...settings,
    };
  }

  remove() {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * From now on this process, a test's own, lives in an empty home, as the user of a machine who has set nothing; gives it.
 *
 * The native half reads the environment of the process, which is what Node's `process.env` writes to.
 */
export function movesIn() {
  const home = new Home();
  for (const name of Object.keys(process.env)) {
    if (/^(FLYTE|_FLYTE|UCTL|SSH_|XDG_|CI$|GITHUB_|BROWSER$|DISPLAY$|WAYLAND)/.test(name)) delete process.env[name];
  }
  Object.assign(process.env, home.env());
  process.chdir(home.path);
  process.on('exit', () => home.remove());
  return home;
}
