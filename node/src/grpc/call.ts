/** A call that waits for its token, and is made once more if the server rejects it. */

import { InterceptingCall, type InterceptorOptions, Metadata, status, type StatusObject } from '@grpc/grpc-js';

import { anotherToken } from '../source';
import type { Token, TokenSource } from '../token';
import { ended, failure } from './status';

type NextCall = (options: InterceptorOptions) => InterceptingCallInterface;
/** Not exported by grpc-js under its name. */
type InterceptingCallInterface = Pick<
  InterceptingCall,
  'start' | 'sendMessage' | 'sendMessageWithContext' | 'startRead' | 'halfClose' | 'cancelWithStatus' | 'getPeer'
> & { getAuthContext?: () => unknown };
/** As the caller's side of grpc-js has it. */
interface Listener {
  onReceiveMetadata(metadata: Metadata): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: StatusObject): void;
}
type Context = Parameters<InterceptingCall['sendMessageWithContext']>[0];
type Sent = { context: Context; message: unknown };
/** Longer waits than a timer holds have no end. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * What grpc-js' own call is, of the attempt that counts: the first until it has ended UNAUTHENTICATED and nothing of it
 * was handed out.
 *
 * @internal
 */
export class AuthCall {
  readonly #source: TokenSource;
  readonly #options: InterceptorOptions;
  readonly #nextCall: NextCall;
  readonly #streams: { requests: boolean; responses: boolean };
  #metadata = new Metadata();
  #listener: Partial<Listener> = {};
  /** The attempt under way; before it and between two there is none. */
  #call: InterceptingCallInterface | undefined;
  /** Ends the wait for a token. */
  #waiting: AbortController | undefined;
  #over = false;
  #token: Token | null = null;
  /** May still become another attempt. */
  #first = true;
  #delivered = false;
  #answered = false;
  /** Metadata without content, until it is known which attempt's counts. */
  #held: Metadata | undefined;
  #told = false;
  /** What the caller sent: of one request it is kept for another attempt, of a stream until there is a first. */
  readonly #sent: Sent[] = [];
  #halfClosed = false;
  #reads = 0;
  #streamed = false;

  constructor(source: TokenSource, options: InterceptorOptions, nextCall: NextCall) {
    this.#source = source;
    this.#options = options;
    this.#nextCall = nextCall;
    const { requestStream, responseStream } = options.method_definition;
    this.#streams = { requests: requestStream, responses: responseStream };
  }

  start(metadata: Metadata, listener: Partial<Listener> = {}): void {
    this.#metadata = metadata;
    this.#listener = listener;
    const token = this.#source.tryToken();
    if (token) this.#begin(token);
    else
      this.#wait(
        (signal) => this.#source.token({ signal }),
        (found) => this.#begin(found),
      );
  }

  sendMessageWithContext(context: Context, message: unknown): void {
    const kept = { context, message };
    if (this.#call === undefined || !this.#streams.requests) this.#sent.push(kept);
    else this.#streamed = true;
    this.#call?.sendMessageWithContext(context, message);
  }

  sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message);
  }

  halfClose(): void {
    this.#halfClosed = true;
    this.#call?.halfClose();
  }

  startRead(): void {
    this.#reads += 1;
    this.#call?.startRead();
  }

  cancelWithStatus(code: status, details: string): void {
    if (this.#call) this.#call.cancelWithStatus(code, details);
    else if (this.#waiting) this.#end(ended(code, details));
  }

  getPeer(): string {
    return this.#call?.getPeer() ?? 'unknown';
  }

  getAuthContext(): unknown {
    return this.#call?.getAuthContext?.() ?? null;
  }

  /** Waits for a token, at most until the call's deadline. */
  #wait(ask: (signal: AbortSignal) => Promise<Token | null>, then: (token: Token | null) => void): void {
    const waiting = (this.#waiting = new AbortController());
    const left = this.#left();
    const late = (): void => this.#end(ended(status.DEADLINE_EXCEEDED, 'the deadline passed before there was a token'));
    const timer = left < LONGEST_TIMER ? setTimeout(late, Math.max(0, left)) : undefined;
    const settled = (end: () => void): void => {
      clearTimeout(timer);
      if (this.#over) return;
      this.#waiting = undefined;
      end();
    };
    ask(waiting.signal).then(
      (token) => settled(() => then(token)),
      (error: unknown) => settled(() => this.#end(failure(error))),
    );
  }

  /** Milliseconds until the deadline. */
  #left(): number {
    const { deadline } = this.#options;
    return deadline === undefined ? Infinity : Number(deadline) - Date.now();
  }

  #begin(token: Token | null): void {
    this.#token = token;
    const metadata = this.#metadata.clone();
    if (token) metadata.set(token.headerName, token.headerValue);
    const call = (this.#call = this.#nextCall(this.#options));
    call.start(metadata, {
      onReceiveMetadata: (received: Metadata) => this.#receiveMetadata(received),
      onReceiveMessage: (message: unknown) => {
        // So grpc-js says that a call of one response ended without it.
        if (message === null) return;
        this.#tellHeld();
        this.#delivered = this.#answered = true;
        this.#reads -= 1;
        this.#listener.onReceiveMessage?.(message);
      },
      onReceiveStatus: (received: StatusObject) => this.#receiveStatus(received),
    });
    for (const { context, message } of this.#sent) call.sendMessageWithContext(context, message);
    if (this.#streams.requests) {
      this.#streamed ||= this.#sent.length > 0;
      this.#sent.length = 0;
    }
    if (this.#reads > 0) call.startRead();
    if (this.#halfClosed) call.halfClose();
  }

  #receiveMetadata(metadata: Metadata): void {
    // A rejection without any is nothing that could contradict the second attempt's.
    const empty = Object.keys(metadata.getMap()).length === 0;
    this.#held = metadata;
    if (!empty) this.#delivered = true;
    // A stream's caller may wait for it alone.
    if (!empty || this.#streams.responses) this.#tellHeld();
  }

  #tellHeld(): void {
    const metadata = this.#held;
    this.#held = undefined;
    if (metadata === undefined || this.#told) return;
    this.#told = true;
    this.#listener.onReceiveMetadata?.(metadata);
  }

  #receiveStatus(received: StatusObject): void {
    const rejected = this.#token;
    if (received.code !== status.UNAUTHENTICATED || rejected === null) return this.#end(received);
    this.#source.invalidate(rejected);
    if (!this.#first || this.#delivered || this.#streamed) return this.#end(received);
    this.#first = false;
    this.#call = undefined;
    this.#held = undefined;
    this.#wait(
      (signal) => anotherToken(this.#source, rejected, signal),
      (token) => {
        if (token === null) return this.#end(received);
        // The server may name another header by now.
        this.#metadata = this.#metadata.clone();
        this.#metadata.remove(rejected.headerName);
        this.#begin(token);
      },
    );
  }

  #end(received: StatusObject): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiting?.abort();
    this.#tellHeld();
    if (!this.#streams.responses && !this.#answered) this.#listener.onReceiveMessage?.(null);
    this.#listener.onReceiveStatus?.(received);
  }
}
