// A console of the tests, in a process of its own: `express`, `express-4`, `fastify` or `web`.
//
// By stdin: {"port"} (0: a free one), answered by {"port"}; then its settings, answered by {"ready": true}:
//   kind, login (options of flyteLogin), bearer (options of requireBearer), parser (whether the app parses forms itself)
// Ends when its stdin closes, or on SIGTERM. What it logs is what an app of that kind logs: errors that reach it.
//
// All kinds serve the same:
//   GET  /               for everybody: {"user"}, and a cookie of the app's own
//   GET  /head?as=FORM   the same, its head written at once with that cookie: as `object`, `flat` list or `pairs`
//   GET  /console/…      for signed-in users: a page
//   GET  /api/token      for signed-in users: whose access token it is, verified, and its hash
//   GET  /api/renewed    for signed-in users: the same after the token was rejected
//   POST /api/things     for signed-in users: {"things"} counts up
//   GET  /api/things     {"things"}
//   GET  /bearer         for bearers of the scope `all`: {"user", "subject", "scopes"}
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Verifier } from 'flyte-auth';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const heard = async () => JSON.parse((await lines.next()).value);
const said = (message) => console.log(JSON.stringify(message));

let verifier;
let things = 0;

const pages = {
  home: ({ user }) => ({ user: user?.sub ?? null }),
  console: ({ user }) =>
    `<!doctype html><title>Console</title><h1>Hello ${user.sub}</h1><a href="/logout">Sign out</a>`,
  token: async ({ session }) => {
    const token = await session.token();
    const [{ subject }, headers] = [await verifier.verify(token.value), await session.headers()];
    const hash = createHash('sha256').update(token.value).digest('hex').slice(0, 12);
    return { subject, hash, names: Object.keys(headers), expiresAt: token.expiresAt };
  },
  renewed: (auth) => {
    auth.session.invalidate();
    return pages.token(auth);
  },
  made: () => ({ things: (things += 1) }),
  things: () => ({ things }),
  bearer: ({ user, token }) => ({ user, subject: token.subject, scopes: token.scopes }),
};
const COOKIE = 'theme=dark; Path=/';

const kinds = {
  async express(settings, server, name = 'express') {
    const { default: express } = await import(name);
    const { flyteLogin, requireBearer, requireLogin } = await import('flyte-auth/express');
    const app = express();
    app.disable('x-powered-by');
    if (settings.parser) app.use(express.urlencoded({ extended: true }));
    // It leaves `req.body` behind and forms unread.
    app.use(express.json());
    app.use(flyteLogin(settings.login));
    app.get('/', (req, res) => res.append('set-cookie', COOKIE).json(pages.home(req.flyteAuth)));
    app.get('/head', (req, res) => {
      const heads = {
        object: { 'Set-Cookie': [COOKIE] },
        flat: ['Set-Cookie', COOKIE],
        pairs: [['Set-Cookie', COOKIE]],
      };
      // Node takes pairs only where no header was set before.
      if (req.query.as !== 'pairs') res.setHeader('content-type', 'application/json');
      res.writeHead(200, heads[req.query.as]);
      res.end(JSON.stringify(pages.home(req.flyteAuth)));
    });
    app.use('/console', requireLogin(), (req, res) => res.type('html').send(pages.console(req.flyteAuth)));
    // Express 4 does not hear of a rejected promise.
    const answers = (page) => (req, res, next) => page(req.flyteAuth).then((it) => res.json(it), next);
    app.get('/api/token', requireLogin(), answers(pages.token));
    app.get('/api/renewed', requireLogin(), answers(pages.renewed));
    app.post('/api/things', requireLogin(), (req, res) => res.json(pages.made(req.flyteAuth)));
    app.get('/api/things', (_req, res) => res.json(pages.things()));
    app.get('/bearer', requireBearer(settings.bearer), (req, res) => res.json(pages.bearer(req.flyteAuth)));
    server.on('request', app);
  },

  'express-4': (settings, server) => kinds.express(settings, server, 'express-4'),

  async fastify(settings, server) {
    const { default: fastify } = await import('fastify');
    const { flyteLogin, requireBearer, requireLogin } = await import('flyte-auth/fastify');
    const app = fastify({ logger: { level: 'warn' }, serverFactory: (handler) => server.on('request', handler) });
    if (settings.parser) {
      const parse = (_request, text, done) => done(null, Object.fromEntries(new URLSearchParams(text)));
      app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, parse);
    }
    await app.register(flyteLogin, settings.login);
    const guarded = { onRequest: requireLogin() };
    app.get('/', (request, reply) => reply.header('set-cookie', COOKIE).send(pages.home(request.flyteAuth)));
    app.get('/head', async (request, reply) => {
      reply.raw.setHeader('x-raw', 'yes');
      return reply.header('set-cookie', [COOKIE]).send(pages.home(request.flyteAuth));
    });
    app.get('/console', guarded, (request, reply) => reply.type('text/html').send(pages.console(request.flyteAuth)));
    app.get('/console/*', guarded, (request, reply) => reply.type('text/html').send(pages.console(request.flyteAuth)));
    app.get('/api/token', guarded, (request) => pages.token(request.flyteAuth));
    app.get('/api/renewed', guarded, (request) => pages.renewed(request.flyteAuth));
    app.post('/api/things', guarded, async (request) => pages.made(request.flyteAuth));
    app.get('/api/things', async () => pages.things());
    app.get('/bearer', { preHandler: requireBearer(settings.bearer) }, async (request) =>
      pages.bearer(request.flyteAuth),
    );
    await app.ready();
  },

  async web(settings, server) {
    const { flyteLogin, requireBearer } = await import('flyte-auth/web');
    const login = flyteLogin(settings.login);
    const checked = requireBearer(settings.bearer);
    const html = (text) => new Response(text, { headers: { 'content-type': 'text/html' } });
    const routes = {
      'GET /': async (visit) => Response.json(pages.home(visit), { headers: { 'set-cookie': COOKIE } }),
      'GET /console': async (visit) => html(pages.console(visit)),
      'GET /api/token': async (visit) => Response.json(await pages.token(visit)),
      'GET /api/renewed': async (visit) => Response.json(await pages.renewed(visit)),
      'POST /api/things': async (visit) => Response.json(pages.made(visit)),
      'GET /api/things': async () => Response.json(pages.things()),
      'GET /bearer': async (visit) => Response.json(pages.bearer(visit)),
    };
    routes['GET /head'] = routes['GET /'];
    const serve = async (request) => {
      const { pathname } = new URL(request.url);
      const route = `${request.method} ${pathname.startsWith('/console') ? '/console' : pathname}`;
      const open = ['GET /', 'GET /head', 'GET /api/things'].includes(route);
      if (route === 'GET /bearer') {
        const visit = await checked(request);
        return visit.response ?? routes[route](visit);
      }
      if (!(route in routes)) return login.handler(request);
      const visit = await (open ? login.authenticate(request) : login.requireLogin(request));
      return visit.response ?? visit.apply(await routes[route](visit));
    };
    if (!('Deno' in globalThis || 'Bun' in globalThis)) {
      server.on('request', (req, res) => void answered(serve, req, res));
      return;
    }
    // Their own servers, at the same port.
    await new Promise((closed) => server.close(closed));
    const place = { port, hostname: '127.0.0.1' };
    if ('Bun' in globalThis) Bun.serve({ ...place, fetch: serve });
    else await new Promise((onListen) => Deno.serve({ ...place, onListen }, serve));
  },
};

// Node's request and response for what speaks Web `Request` and `Response`, as the servers of such frameworks do it.
async function answered(serve, req, res) {
  try {
    const headers = Object.entries(req.headersDistinct).flatMap(([name, values]) =>
      values.map((value) => [name, value]),
    );
    const hasBody = !['GET', 'HEAD'].includes(req.method);
    // Behind a proxy nobody knows the public name.
    const url = new URL(req.url, 'http://internal.invalid');
    const request = new Request(url, { method: req.method, headers, ...(hasBody && { body: req, duplex: 'half' }) });
    const response = await serve(request);
    res.statusCode = response.status;
    for (const [name, value] of response.headers) res.appendHeader(name, value);
    res.end(Buffer.from(await response.arrayBuffer()));
  } catch (error) {
    console.error(error);
    res.statusCode = 500;
    res.end();
  }
}

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0));

const server = createServer({ maxHeaderSize: 64 * 1024 });
const { port: wanted } = await heard();
await new Promise((listening) => server.listen(wanted, '127.0.0.1', listening));
const { port } = server.address();
said({ port });
const settings = await heard();
verifier = new Verifier({ issuer: settings.login.issuer, audience: settings.bearer.audience });
await kinds[settings.kind](settings, server);
said({ ready: true });
