// flyte-auth/fetch: the built-in fetch, and undici's dispatchers, with real servers.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';

import { LoginRequiredError, Session } from 'flyte-auth';
import { authInterceptor, createFetch } from 'flyte-auth/fetch';
import { Agent, fetch as undiciFetch, interceptors, request } from 'undici';

import { HttpService } from './harness/http_service.mjs';
import { Sandbox } from './harness/sandbox.mjs';
import { signedIn, slow } from './harness/tokens.mjs';

const DEADLINE = { timeout: 20_000 };

let sandbox;
let service;
let stranger;
let session;

before(async () => {
  [sandbox, service, stranger] = await Promise.all([Sandbox.start(), HttpService.start(), HttpService.start()]);
});
after(() => Promise.all([sandbox.stop(), service.stop(), stranger.stop()]));
beforeEach(async () => {
  session = await signedIn(sandbox);
  service.reset();
  stranger.reset();
});

const fetching = (source = session, options = {}) => createFetch(source, { hosts: [service.origin], ...options });
const rejectFirst = (_, number) => (number === 1 ? { status: 401, body: 'no' } : { status: 200, body: 'yes' });

/** The two ways: each gives `send(url, init)` with `{status, text, redirected?}`. */
const WAYS = {
  fetch: (source) => async (url, init) => {
    const response = await fetching(source)(url, init);
    return { status: response.status, text: await response.text() };
  },
  undici: (source) => {
    const dispatcher = new Agent().compose(authInterceptor(source ?? session, { hosts: [service.origin] }));
    return async (url, init = {}) => {
      const response = await request(url, { dispatcher, ...init });
      return { status: response.statusCode, text: await response.body.text() };
    };
  },
};

for (const [way, sending] of Object.entries(WAYS)) {
  describe(way, DEADLINE, () => {
    test('the token goes out once, in place of what was there', async () => {
      await sending()(`${service.origin}/a?b=c`, { headers: { Authorization: 'Basic mine', 'x-mine': 'stays' } });
      assert.deepEqual(service.sent, [[session.tryToken().headerValue]]);
      assert.deepEqual(service.seen[0].headers['x-mine'], ['stays']);
      assert.equal(service.seen[0].url, '/a?b=c');
    });

    test('after 401 it is sent once more with another token', async () => {
      service.answer = rejectFirst;
      const before = session.tryToken().headerValue;
      const answer = await sending()(`${service.origin}/`, { method: 'POST', body: 'text' });
      assert.deepEqual(answer, { status: 200, text: 'yes' });
      assert.deepEqual(
        service.seen.map(({ body }) => body),
        ['text', 'text'],
      );
      assert.deepEqual(service.sent[0], [before]);
      assert.notDeepEqual(service.sent[1], [before]);
    });

    test('at most twice', async () => {
      service.answer = () => ({ status: 401, body: 'no' });
      assert.deepEqual(await sending()(`${service.origin}/`), { status: 401, text: 'no' });
      assert.equal(service.seen.length, 2);
    });

    test('403 is an answer', async () => {
      service.answer = () => ({ status: 403, body: 'no' });
      const token = session.tryToken();
      assert.equal((await sending()(`${service.origin}/`)).status, 403);
      assert.equal(service.seen.length, 1);
      assert.equal(session.tryToken(), token);
    });

    test('without another token the 401 comes out whole', async () => {
      service.answer = () => ({ status: 401, body: 'a body to read' });
      const token = session.tryToken();
      const same = { tryToken: () => token, token: async () => token, invalidate: () => {} };
      assert.deepEqual(await sending(same)(`${service.origin}/`), { status: 401, text: 'a body to read' });
      assert.equal(service.seen.length, 1);
    });

    test('a stream is sent once, and its token is gone', async () => {
      service.answer = rejectFirst;
      const token = session.tryToken();
      const body = new Blob(['text']).stream();
      const answer = await sending()(`${service.origin}/`, { method: 'POST', body, duplex: 'half' });
      assert.equal(answer.status, 401);
      assert.equal(service.seen.length, 1);
      assert.notEqual(session.tryToken(), token);
    });

    test('waits for a token that is not in memory', async () => {
      const waiting = slow(session);
      const answer = sending(waiting)(`${service.origin}/`);
      await later(50);
      assert.equal(service.seen.length, 0);
      waiting.release();
      assert.equal((await answer).status, 200);
    });

    test('where there is no auth, requests pass as they are', async () => {
      const none = { tryToken: () => null, token: async () => null, invalidate: () => assert.fail() };
      service.answer = () => ({ status: 401 });
      await sending(none)(`${service.origin}/`, { headers: { authorization: 'mine' } });
      assert.deepEqual(service.sent, [['mine']]);
    });

    test('what goes wrong with the session comes out as itself', async () => {
      const nobody = Session.fromConfig({ endpoint: sandbox.http, store: 'memory' });
      await assert.rejects(sending(nobody)(`${service.origin}/`), LoginRequiredError);
      assert.equal(service.seen.length, 0);
    });

    test('a hundred rejections at once cost one token request', async () => {
      const rejected = session.tryToken().headerValue;
      service.answer = ({ headers }) => ({ status: headers.authorization[0] === rejected ? 401 : 200 });
      const before = await sandbox.requestsTo('/oauth2/token');
      const send = sending();
      const answers = await Promise.all(Array.from({ length: 100 }, () => send(`${service.origin}/`)));
      assert(answers.every(({ status }) => status === 200));
      assert.equal((await sandbox.requestsTo('/oauth2/token')) - before, 1);
    });
  });
}

describe('createFetch', DEADLINE, () => {
  test("the session's own endpoint is its host", async () => {
    const answer = await createFetch(session)(`${sandbox.http}/me`);
    assert.equal(answer.status, 200);
  });

  for (const url of [
    () => stranger.origin,
    () => service.origin.replace('127.0.0.1', 'localhost'),
    () => service.origin.replace('http://', 'http://user:password@'),
    () => service.origin.replace('http://', 'https://'),
  ]) {
    test(`nothing goes to another host: ${url}`, async () => {
      await assert.rejects(fetching()(url()), (error) => {
        assert.equal(error.reason, 'foreign_host');
        assert.doesNotMatch(error.message, /password/);
        return true;
      });
      assert.deepEqual([service.seen.length, stranger.seen.length], [0, 0]);
    });
  }

  test('a plain address of a host that has TLS is refused as such', async () => {
    const secured = createFetch(session, { hosts: ['https://flyte.example'] });
    await assert.rejects(secured('http://flyte.example/'), { reason: 'plaintext_refused' });
  });

  for (const status of [301, 302, 303, 307, 308]) {
    test(`a ${status} to another origin leaves the token behind`, async () => {
      service.answer = () => ({ status, headers: { location: `${stranger.origin}/there` } });
      const answer = await fetching()(`${service.origin}/`, { headers: { cookie: 'a=b', 'x-mine': 'stays' } });
      assert.equal(answer.status, 200);
      assert.equal(answer.redirected, true);
      assert.equal(answer.url, `${stranger.origin}/there`);
      const { headers } = stranger.seen[0];
      assert.deepEqual([headers.authorization, headers.cookie, headers['x-mine']], [undefined, undefined, ['stays']]);
    });

    test(`a ${status} within the origin keeps it, and the method as fetch does`, async () => {
      service.answer = (_, number) => (number === 1 ? { status, headers: { location: '/there' } } : { status: 200 });
      await fetching()(`${service.origin}/`, { method: 'POST', body: 'text' });
      const { headers } = service.seen[1];
      assert.deepEqual(headers.authorization, [session.tryToken().headerValue]);
      const kept = status >= 307;
      assert.deepEqual([service.seen[1].method, service.seen[1].body], kept ? ['POST', 'text'] : ['GET', '']);
      assert.equal(headers['content-type'] !== undefined, kept);
    });
  }

  test("another host's 401 is its own affair", async () => {
    service.answer = () => ({ status: 302, headers: { location: stranger.origin } });
    stranger.answer = () => ({ status: 401 });
    const token = session.tryToken();
    assert.equal((await fetching()(service.origin)).status, 401);
    assert.equal(session.tryToken(), token);
    assert.equal(stranger.seen.length, 1);
  });

  test('redirects have an end', async () => {
    service.answer = () => ({ status: 302, headers: { location: '/' } });
    await assert.rejects(fetching()(service.origin), TypeError);
    assert.equal(service.seen.length, 21);
  });

  test('redirect: manual and error are left as they are', async () => {
    service.answer = () => ({ status: 302, headers: { location: '/' } });
    assert.equal((await fetching()(service.origin, { redirect: 'manual' })).status, 302);
    await assert.rejects(fetching()(service.origin, { redirect: 'error' }), TypeError);
  });

  test('a Request goes out whole, twice where it must', async () => {
    service.answer = rejectFirst;
    const asked = new Request(`${service.origin}/r`, {
      method: 'PUT',
      body: JSON.stringify({ a: 1 }),
      headers: { 'content-type': 'application/json', 'x-mine': 'stays' },
    });
    assert.equal((await fetching()(asked)).status, 200);
    for (const { method, url, body, headers } of service.seen) {
      assert.deepEqual([method, url, body, headers['x-mine']], ['PUT', '/r', '{"a":1}', ['stays']]);
      assert.deepEqual(headers['content-type'], ['application/json']);
    }
    assert.equal(service.seen.length, 2);
  });

  for (const [name, body, wanted] of [
    ['bytes', new TextEncoder().encode('bytes'), 'bytes'],
    ['a form', new URLSearchParams({ a: 'b' }), 'a=b'],
    ['a blob', new Blob(['blob']), 'blob'],
  ]) {
    test(`${name} can be sent again`, async () => {
      service.answer = rejectFirst;
      assert.equal((await fetching()(service.origin, { method: 'POST', body })).status, 200);
      assert.deepEqual(
        service.seen.map((one) => one.body),
        [wanted, wanted],
      );
    });
  }

  test('a multipart form can be sent again', async () => {
    service.answer = rejectFirst;
    const body = new FormData();
    body.set('name', 'value');
    assert.equal((await fetching()(service.origin, { method: 'POST', body })).status, 200);
    assert(service.seen.every((one) => one.body.includes('value')));
  });

  test("a signal ends the wait for a token with the signal's reason", async () => {
    const waiting = slow(session);
    const aborting = new AbortController();
    const answer = fetching(waiting)(service.origin, { signal: aborting.signal });
    const reason = new Error('enough');
    setTimeout(() => aborting.abort(reason), 20);
    await assert.rejects(answer, (error) => error === reason);
    assert.equal(waiting.aborted, 1);
  });

  test('another fetch may send', async () => {
    const own = fetching(session, { fetch: undiciFetch });
    assert.equal((await own(service.origin)).status, 200);
    assert.equal(service.sent.length, 1);
  });

  test('arguments of a wrong type are named', () => {
    assert.throws(() => createFetch({}), { name: 'TypeError', message: /session/ });
    assert.throws(() => createFetch(session, { hosts: 'https://a' }), { name: 'TypeError', message: /hosts/ });
    assert.throws(() => createFetch(session, { host: [] }), { name: 'TypeError', message: /host/ });
    assert.throws(() => createFetch(session, { hosts: ['https://a/b'] }), { reason: 'endpoint_invalid' });
    assert.throws(() => createFetch(session, { hosts: ['ftp://a'] }), { reason: 'endpoint_invalid' });
  });
});

describe('the interceptor of undici', DEADLINE, () => {
  test('requests to others pass without the token', async () => {
    const dispatcher = new Agent().compose(authInterceptor(session, { hosts: [service.origin] }));
    const { body } = await request(stranger.origin, { dispatcher });
    await body.text();
    assert.deepEqual(stranger.sent, [undefined]);
  });

  test('put first, a redirect to another origin leaves the token behind', async () => {
    service.answer = () => ({ status: 302, headers: { location: stranger.origin } });
    const auth = authInterceptor(session, { hosts: [service.origin] });
    const dispatcher = new Agent().compose(auth, interceptors.redirect({ maxRedirections: 3 }));
    const { statusCode, body } = await request(service.origin, { dispatcher });
    await body.text();
    assert.equal(statusCode, 200);
    assert.deepEqual(stranger.sent, [undefined]);
  });

  test('a fetch with the dispatcher goes through it', async () => {
    service.answer = rejectFirst;
    const dispatcher = new Agent().compose(authInterceptor(session, { hosts: [service.origin] }));
    assert.equal(await (await undiciFetch(service.origin, { dispatcher })).text(), 'yes');
    assert.equal(service.seen.length, 2);
  });

  for (const headers of [
    { authorization: 'mine', 'x-mine': 'stays' },
    ['authorization', 'mine', 'x-mine', 'stays'],
    new Map([
      ['Authorization', 'mine'],
      ['x-mine', 'stays'],
    ]),
  ]) {
    test(`headers as ${headers.constructor.name}`, async () => {
      const dispatcher = new Agent().compose(authInterceptor(session, { hosts: [service.origin] }));
      const { body } = await request(service.origin, { dispatcher, headers });
      await body.text();
      assert.deepEqual(service.sent, [[session.tryToken().headerValue]]);
      assert.deepEqual(service.seen[0].headers['x-mine'], ['stays']);
    });
  }

  test('aborting between two attempts ends the request', async () => {
    service.answer = rejectFirst;
    const waiting = slow(session);
    waiting.tryToken = () => session.tryToken();
    const aborting = new AbortController();
    const dispatcher = new Agent().compose(authInterceptor(waiting, { hosts: [service.origin] }));
    const answer = request(service.origin, { dispatcher, signal: aborting.signal });
    while (service.seen.length < 1) await later(5);
    await later(50);
    aborting.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    assert.equal(waiting.aborted, 1);
    assert.equal(service.seen.length, 1);
  });
});
