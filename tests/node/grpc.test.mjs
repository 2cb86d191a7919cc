// flyte-auth/grpc with a real grpc-js server and client, and with the sandbox's own services.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { promisify } from 'node:util';

import grpc from '@grpc/grpc-js';
import { LoginRequiredError, Session } from 'flyte-auth';
import { authInterceptor, callCredentials, channel, channelCredentials } from 'flyte-auth/grpc';

import { GrpcService } from './harness/grpc_service.mjs';
import { Sandbox } from './harness/sandbox.mjs';
import { signedIn, slow } from './harness/tokens.mjs';

const { UNAUTHENTICATED, PERMISSION_DENIED, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE } = grpc.status;
const DEADLINE = { timeout: 20_000 };

let sandbox;
let service;
let session;
const clients = [];

before(async () => {
  sandbox = await Sandbox.start();
  service = await GrpcService.start();
});
after(async () => {
  clients.forEach((client) => client.close());
  await service.stop();
  await sandbox.stop();
});
beforeEach(async () => {
  session = await signedIn(sandbox);
  Object.assign(service, { seen: [], verdict: () => undefined, early: undefined, after: undefined });
});

function client(source = session, ...more) {
  const made = service.client([...more, authInterceptor(source)]);
  clients.push(made);
  return made;
}

const inTwentySeconds = () => ({ deadline: Date.now() + 20_000 });
const unary = (stub, message, metadata = new grpc.Metadata(), options = inTwentySeconds()) =>
  promisify((done) => stub.unary(message, metadata, options, done))();
const read = async (call) => {
  const all = [];
  for await (const message of call) all.push(message);
  return all;
};
/** Calls of each kind with the same outcome: what came back. */
const KINDS = {
  unary: (stub) => unary(stub, 'a'),
  responses: (stub) => read(stub.responses('a', inTwentySeconds())),
  requests: (stub) =>
    new Promise((resolve, reject) => {
      const call = stub.requests(inTwentySeconds(), (error, reply) => (error ? reject(error) : resolve(reply)));
      call.write('a');
      call.end('b');
    }),
  both: (stub) => {
    const call = stub.both(inTwentySeconds());
    call.write('a');
    call.end('b');
    return read(call);
  },
};
const ANSWERS = { unary: 'echo a', responses: ['a 1', 'a 2', 'a 3'], requests: 'a+b', both: ['echo a', 'echo b'] };

describe('every kind of call', DEADLINE, () => {
  for (const [kind, call] of Object.entries(KINDS)) {
    test(`${kind} carries the token, once`, async () => {
      assert.deepEqual(await call(client()), ANSWERS[kind]);
      assert.deepEqual(service.values, [session.tryToken().headerValue]);
    });

    test(`${kind} is not made again after another status`, async () => {
      service.verdict = () => PERMISSION_DENIED;
      const token = session.tryToken();
      await assert.rejects(call(client()), { code: PERMISSION_DENIED });
      assert.equal(service.seen.length, 1);
      assert.equal(session.tryToken(), token);
    });

    test(`${kind} waits for a token that is not in memory`, async () => {
      const waiting = slow(session);
      const reply = call(client(waiting));
      await later(50);
      assert.equal(service.seen.length, 0);
      waiting.release();
      assert.deepEqual(await reply, ANSWERS[kind]);
    });
  }

  for (const kind of ['unary', 'responses']) {
    test(`${kind} is made once more after UNAUTHENTICATED, with another token`, async () => {
      service.verdict = (number) => (number === 1 ? UNAUTHENTICATED : undefined);
      const before = session.tryToken().headerValue;
      assert.deepEqual(await KINDS[kind](client()), ANSWERS[kind]);
      const sent = service.seen.map(({ authorization }) => authorization);
      assert.equal(sent.length, 2);
      assert.equal(sent[0], before);
      assert.notEqual(sent[1], before);
    });

    test(`${kind} is made at most twice`, async () => {
      service.verdict = () => UNAUTHENTICATED;
      await assert.rejects(KINDS[kind](client()), { code: UNAUTHENTICATED });
      assert.equal(service.seen.length, 2);
    });
  }

  for (const kind of ['requests', 'both']) {
    test(`${kind} is not made again once a request was sent, but its token is gone`, async () => {
      service.verdict = () => UNAUTHENTICATED;
      const token = session.tryToken();
      await assert.rejects(KINDS[kind](client()), { code: UNAUTHENTICATED });
      assert.equal(service.seen.length, 1);
      assert.notEqual(session.tryToken(), token);
    });

    test(`${kind} is made again while nothing was sent`, async () => {
      service.verdict = (number) => (number === 1 ? UNAUTHENTICATED : undefined);
      const stub = client();
      let reply;
      let call;
      if (kind === 'both') {
        call = stub.both(inTwentySeconds());
        reply = read(call);
      } else {
        reply = new Promise((resolve, reject) => {
          call = stub.requests(inTwentySeconds(), (error, found) => (error ? reject(error) : resolve(found)));
        });
      }
      while (service.seen.length < 2) await later(5);
      call.write('a');
      call.end('b');
      assert.deepEqual(await reply, ANSWERS[kind]);
    });
  }
});

describe('a rejection', DEADLINE, () => {
  test('after a response was delivered is the end', async () => {
    Object.assign(service, { verdict: () => UNAUTHENTICATED, after: 1 });
    const seen = [];
    await assert.rejects(
      async () => {
        for await (const message of client().responses('a', inTwentySeconds())) seen.push(message);
      },
      { code: UNAUTHENTICATED },
    );
    assert.deepEqual(seen, ['a 1']);
    assert.equal(service.seen.length, 1);
  });

  test('after the server sent metadata is the end', async () => {
    service.early = new grpc.Metadata();
    service.early.set('x-early', 'yes');
    service.verdict = () => UNAUTHENTICATED;
    await assert.rejects(unary(client(), 'a'), { code: UNAUTHENTICATED });
    assert.equal(service.seen.length, 1);
  });

  test('without another token comes out as it is', async () => {
    service.verdict = () => UNAUTHENTICATED;
    const token = session.tryToken();
    const same = { tryToken: () => token, token: async () => token, invalidate: () => {} };
    await assert.rejects(unary(client(same), 'a'), { code: UNAUTHENTICATED, details: 'rejected' });
    assert.equal(service.seen.length, 1);
  });

  test('of a hundred calls at once costs one token request', async () => {
    const rejected = session.tryToken().headerValue;
    service.verdict = (_, metadata) => (metadata.get('authorization')[0] === rejected ? UNAUTHENTICATED : undefined);
    const before = await sandbox.requestsTo('/oauth2/token');
    const stub = client();
    await Promise.all(Array.from({ length: 100 }, () => unary(stub, 'a')));
    assert.equal((await sandbox.requestsTo('/oauth2/token')) - before, 1);
  });
});

describe('metadata', DEADLINE, () => {
  test("the caller's own header is replaced, and its object stays as it was", async () => {
    const metadata = new grpc.Metadata();
    metadata.add('authorization', 'Basic mine');
    metadata.add('authorization', 'Basic again');
    metadata.set('x-mine', 'stays');
    await unary(client(), 'a', metadata);
    assert.deepEqual(service.values, [session.tryToken().headerValue]);
    assert.equal(service.seen[0]['x-mine'], 'stays');
    assert.deepEqual(metadata.get('authorization'), ['Basic mine', 'Basic again']);
  });

  test('initial metadata comes once', async () => {
    service.early = new grpc.Metadata();
    let times = 0;
    const call = client().responses('a', inTwentySeconds());
    call.on('metadata', () => (times += 1));
    assert.deepEqual(await read(call), ANSWERS.responses);
    assert.equal(times, 1);
  });

  test('where there is no auth, calls pass as they are', async () => {
    const none = { tryToken: () => null, token: async () => null, invalidate: () => assert.fail() };
    await unary(client(none), 'a');
    assert.deepEqual(service.values, []);
    service.verdict = () => UNAUTHENTICATED;
    await assert.rejects(unary(client(none), 'a'), { code: UNAUTHENTICATED });
  });
});

describe('a wait for a token', DEADLINE, () => {
  test("ends with the call's deadline", async () => {
    const waiting = slow(session);
    await assert.rejects(unary(client(waiting), 'a', undefined, { deadline: Date.now() + 100 }), {
      code: DEADLINE_EXCEEDED,
    });
    assert.equal(waiting.aborted, 1);
    assert.equal(service.seen.length, 0);
  });

  test('ends with a cancelled call', async () => {
    const waiting = slow(session);
    const call = client(waiting).responses('a', inTwentySeconds());
    const ended = once(call, 'error');
    await later(20);
    call.cancel();
    assert.equal((await ended)[0].code, CANCELLED);
    assert.equal(waiting.aborted, 1);
  });

  test('between two attempts ends with a cancelled call', async () => {
    service.verdict = () => UNAUTHENTICATED;
    const waiting = slow(session);
    waiting.tryToken = () => session.tryToken();
    const call = client(waiting).responses('a', inTwentySeconds());
    const ended = once(call, 'error');
    while (service.seen.length < 1) await later(5);
    await later(50);
    call.cancel();
    assert.equal((await ended)[0].code, CANCELLED);
    assert.equal(service.seen.length, 1);
  });

  test("what goes wrong with the session is the error's cause", async () => {
    const nobody = Session.fromConfig({ endpoint: sandbox.http, store: 'memory' });
    await assert.rejects(unary(client(nobody), 'a'), (error) => {
      assert.equal(error.code, UNAUTHENTICATED);
      assert(error.cause instanceof LoginRequiredError);
      return true;
    });
    const unreachable = Session.fromConfig({ endpoint: 'http://127.0.0.1:9', insecure: true, store: 'memory' });
    await assert.rejects(unary(client(unreachable), 'a'), { code: UNAVAILABLE });
  });
});

test('interceptors before it see the call, and each attempt of theirs gets a token', DEADLINE, async () => {
  const seen = [];
  const before = (options, nextCall) => {
    seen.push(options.method_definition.path);
    return new grpc.InterceptingCall(nextCall(options));
  };
  assert.equal(await unary(client(session, before), 'a'), 'echo a');
  assert.deepEqual(seen, ['/test.Echo/Unary']);
});

describe('channels', DEADLINE, () => {
  test('to the sandbox: Flyte 1 over plaintext', async () => {
    const own = Session.fromConfig({
      endpoint: `http://${sandbox.grpc}`,
      insecure: true,
      store: 'memory',
      authType: 'ClientSecret',
      clientId: 'flytepropeller',
      clientSecret: 'foobar',
    });
    const bytes = { requestSerialize: Buffer.from, requestDeserialize: Buffer.from };
    const UserInfo = {
      path: '/flyteidl.service.IdentityService/UserInfo',
      requestStream: false,
      responseStream: false,
      ...bytes,
      responseSerialize: Buffer.from,
      responseDeserialize: String,
    };
    const Identity = grpc.makeGenericClientConstructor({ userInfo: UserInfo }, 'flyteidl.service.IdentityService');
    const stub = new Identity(...channel(own));
    clients.push(stub);
    const reply = await promisify((done) => stub.userInfo(Buffer.alloc(0), inTwentySeconds(), done))();
    assert.match(reply, /flytepropeller/);
  });

  test('over TLS with the CA of the session, with call credentials', async () => {
    const secured = await Sandbox.start('--tls');
    try {
      const own = await signedIn(secured);
      const [address, credentials] = channel(own);
      const combined = grpc.credentials.combineChannelCredentials(credentials, callCredentials(own));
      const seen = new grpc.Client(address, combined);
      clients.push(seen);
      const userInfo = (done) =>
        seen.makeUnaryRequest(
          '/flyteidl.service.IdentityService/UserInfo',
          Buffer.from,
          String,
          Buffer.alloc(0),
          new grpc.Metadata(),
          inTwentySeconds(),
          done,
        );
      assert.match(await promisify(userInfo)(), /flytepropeller/);
      assert.doesNotThrow(() => channelCredentials(own));
    } finally {
      await secured.stop();
    }
  });

  test('an issuer alone is no endpoint', () => {
    const own = Session.fromConfig({ issuer: sandbox.issuer, clientId: 'flytectl', store: 'memory' });
    assert.throws(() => channel(own), { reason: 'no_endpoint', code: 'FLYTE_AUTH_CONFIG' });
  });

  test('what is no session is a TypeError', () => {
    assert.throws(() => authInterceptor({}), TypeError);
    assert.throws(() => callCredentials(null), TypeError);
    assert.throws(() => channel({}), TypeError);
  });
});
