// flyte-auth/connect with a real Connect server, in its three protocols, and with the sandbox's Flyte 2 service.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';

import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { LoginRequiredError, Session } from 'flyte-auth';
import { authInterceptor } from 'flyte-auth/connect';

import { ConnectService, Echo } from './harness/connect_service.mjs';
import { Sandbox } from './harness/sandbox.mjs';
import { signedIn, slow } from './harness/tokens.mjs';

const DEADLINE = { timeout: 20_000 };
const PROTOCOLS = { connect: createConnectTransport, gRPC: createGrpcTransport, 'gRPC-Web': createGrpcWebTransport };

let sandbox;
let service;
let session;

before(async () => {
  [sandbox, service] = await Promise.all([Sandbox.start(), ConnectService.start()]);
});
after(() => Promise.all([sandbox.stop(), service.stop()]));
beforeEach(async () => {
  session = await signedIn(sandbox);
  service.reset();
});

function client(source = session, createTransport = createConnectTransport, more = []) {
  const interceptors = [...more, authInterceptor(source)];
  return createClient(Echo, createTransport({ baseUrl: service.baseUrl, httpVersion: '2', interceptors }));
}

async function* messages(...values) {
  for (const value of values) yield { value };
}
const read = async (responses) => {
  const all = [];
  for await (const { value } of responses) all.push(value);
  return all;
};
const KINDS = {
  unary: async (stub) => (await stub.unary({ value: 'a' })).value,
  responses: (stub) => read(stub.responses({ value: 'a' })),
  requests: async (stub) => (await stub.requests(messages('a', 'b'))).value,
  both: (stub) => read(stub.both(messages('a', 'b'))),
};
const ANSWERS = { unary: 'echo a', responses: ['a 1', 'a 2', 'a 3'], requests: 'a+b', both: ['echo a', 'echo b'] };
const sent = () => service.seen.map((headers) => headers.get('authorization'));

for (const [protocol, createTransport] of Object.entries(PROTOCOLS)) {
  describe(protocol, DEADLINE, () => {
    for (const [kind, call] of Object.entries(KINDS)) {
      test(`${kind} carries the token`, async () => {
        assert.deepEqual(await call(client(session, createTransport)), ANSWERS[kind]);
        assert.deepEqual(sent(), [session.tryToken().headerValue]);
      });

      test(`${kind} is not made again after another code`, async () => {
        service.verdict = () => Code.PermissionDenied;
        const token = session.tryToken();
        await assert.rejects(call(client(session, createTransport)), { code: Code.PermissionDenied });
        assert.equal(service.seen.length, 1);
        assert.equal(session.tryToken(), token);
      });

      test(`${kind}: a rejected token is not served again`, async () => {
        service.verdict = () => Code.Unauthenticated;
        const token = session.tryToken();
        await assert.rejects(call(client(session, createTransport)), { code: Code.Unauthenticated });
        assert.equal(service.seen.length, ['unary', 'responses'].includes(kind) ? 2 : 1);
        assert.notEqual(session.tryToken(), token);
      });
    }

    for (const kind of ['unary', 'responses']) {
      test(`${kind} is made once more with another token`, async () => {
        service.verdict = (number) => (number === 1 ? Code.Unauthenticated : undefined);
        assert.deepEqual(await KINDS[kind](client(session, createTransport)), ANSWERS[kind]);
        assert.equal(new Set(sent()).size, 2);
      });
    }

    test('a rejection after a response was delivered is the end', async () => {
      Object.assign(service, { verdict: () => Code.Unauthenticated, after: 1 });
      const seen = [];
      await assert.rejects(
        async () => {
          for await (const { value } of client(session, createTransport).responses({ value: 'a' })) seen.push(value);
        },
        { code: Code.Unauthenticated },
      );
      assert.deepEqual(seen, ['a 1']);
      assert.equal(service.seen.length, 1);
    });
  });
}

describe('every protocol', DEADLINE, () => {
  test("the caller's own header is replaced, and its object stays as it was", async () => {
    const headers = new Headers({ authorization: 'Basic mine', 'x-mine': 'stays' });
    await client().unary({ value: 'a' }, { headers });
    assert.deepEqual(sent(), [session.tryToken().headerValue]);
    assert.equal(service.seen[0].get('x-mine'), 'stays');
    assert.equal(headers.get('authorization'), 'Basic mine');
  });

  test('waits for a token that is not in memory', async () => {
    const waiting = slow(session);
    const reply = KINDS.unary(client(waiting));
    await later(50);
    assert.equal(service.seen.length, 0);
    waiting.release();
    assert.equal(await reply, ANSWERS.unary);
  });

  test("the wait ends with the call's deadline", async () => {
    const waiting = slow(session);
    const call = client(waiting).unary({ value: 'a' }, { timeoutMs: 100 });
    await assert.rejects(call, { code: Code.DeadlineExceeded });
    assert.equal(waiting.aborted, 1);
    assert.equal(service.seen.length, 0);
  });

  test("the wait ends with the call's signal", async () => {
    const waiting = slow(session);
    const aborting = new AbortController();
    const call = client(waiting).unary({ value: 'a' }, { signal: aborting.signal });
    setTimeout(() => aborting.abort(), 20);
    await assert.rejects(call, (error) => ConnectError.from(error).code === Code.Canceled);
    assert.equal(waiting.aborted, 1);
  });

  test("what goes wrong with the session is the error's cause", async () => {
    const nobody = Session.fromConfig({ endpoint: sandbox.http, store: 'memory' });
    await assert.rejects(KINDS.unary(client(nobody)), (error) => {
      assert((error.cause ?? error) instanceof LoginRequiredError, String(error));
      return true;
    });
  });

  test('without another token the rejection comes out as it is', async () => {
    service.verdict = () => Code.Unauthenticated;
    const token = session.tryToken();
    const same = { tryToken: () => token, token: async () => token, invalidate: () => {} };
    for (const kind of ['unary', 'responses']) {
      service.seen.length = 0;
      await assert.rejects(KINDS[kind](client(same)), { code: Code.Unauthenticated, rawMessage: 'rejected' });
      assert.equal(service.seen.length, 1);
    }
  });

  test('where there is no auth, calls pass as they are', async () => {
    const none = { tryToken: () => null, token: async () => null, invalidate: () => assert.fail() };
    assert.equal(await KINDS.unary(client(none)), ANSWERS.unary);
    assert.deepEqual(sent(), [null]);
  });

  test('a hundred rejections at once cost one token request', async () => {
    const rejected = session.tryToken().headerValue;
    service.verdict = (_, headers) => (headers.get('authorization') === rejected ? Code.Unauthenticated : undefined);
    const before = await sandbox.requestsTo('/oauth2/token');
    const stub = client();
    await Promise.all(Array.from({ length: 100 }, () => KINDS.unary(stub)));
    assert.equal((await sandbox.requestsTo('/oauth2/token')) - before, 1);
  });

  test('an interceptor that makes a call again gets a fresh token each time', async () => {
    const twice = (next) => async (request) => {
      await next(request);
      session.invalidate();
      return next(request);
    };
    assert.equal(await KINDS.unary(client(session, createConnectTransport, [twice])), ANSWERS.unary);
    assert.equal(new Set(sent()).size, 2);
  });

  test('what is no session is a TypeError', () => {
    assert.throws(() => authInterceptor({}), { name: 'TypeError', message: /session/ });
  });
});

test("the sandbox's Flyte 2 service takes it", DEADLINE, async () => {
  const seen = [];
  const base = createConnectTransport({
    baseUrl: sandbox.http,
    httpVersion: '1.1',
    interceptors: [
      authInterceptor(session),
      (next) => async (request) => {
        const response = await next(request);
        seen.push(request.url);
        return response;
      },
    ],
  });
  // Any method serves: what is shown is that the server lets it in, which it does not without a token.
  const { createFileRegistry, create } = await import('@bufbuild/protobuf');
  const { EmptySchema, FileDescriptorProtoSchema, file_google_protobuf_empty } = await import('@bufbuild/protobuf/wkt');
  const file = create(FileDescriptorProtoSchema, {
    name: 'identity.proto',
    package: 'flyteidl2.auth',
    syntax: 'proto3',
    dependency: ['google/protobuf/empty.proto'],
    service: [
      {
        name: 'IdentityService',
        method: [{ name: 'UserInfo', inputType: '.google.protobuf.Empty', outputType: '.google.protobuf.Empty' }],
      },
    ],
  });
  const Identity = createFileRegistry(file, () => file_google_protobuf_empty.proto).getService(
    'flyteidl2.auth.IdentityService',
  );
  const reply = await createClient(Identity, base).userInfo({});
  assert.equal(reply.$typeName, EmptySchema.typeName);
  assert.deepEqual(seen, [`${sandbox.http}/flyteidl2.auth.IdentityService/UserInfo`]);
  const anonymous = createConnectTransport({ baseUrl: sandbox.http, httpVersion: '1.1' });
  await assert.rejects(createClient(Identity, anonymous).userInfo({}), { code: Code.Unauthenticated });
});
