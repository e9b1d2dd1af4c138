/** What a hashing thread has to do, in turns: whichever streams have bytes just now go on together. */
import type { Engine, Md5, Span } from './engine.js';
import { MOST } from './program.js';

/** To a hashing thread. Each is answered once, those of one stream in their order. A stream begins with its first. */
export type Order =
  /** More bytes: where they lie in the shared memory, where they must stay until the answer. */
  | { kind: 'bytes'; stream: number; call: number; at: number; length: number }
  /** Nothing more comes: answered with the digest. */
  | { kind: 'finish'; stream: number; call: number }
  /** Nobody wants it any more: what waits is answered too, and not looked at. */
  | { kind: 'drop'; stream: number; call: number };

export interface Answer {
  call: number;
  /** Of `finish`. */
  digest?: Uint8Array;
}

export interface Work {
  accept(order: Order): void;
  /** Goes on for a moment (0.1 ms), and says what is done. */
  step(): Answer[];
  /** Whether there is more to do. */
  readonly waits: boolean;
}

interface Stream {
  md5: Md5;
  queue: (Span & { call: number })[];
  /** The call that wants the digest, when all that waits is done. */
  last?: number;
}

/** Blocks of a step: streams whose bytes come meanwhile wait no longer than these take. */
const BLOCKS = 1024;

export const createWork = (engine: Engine): Work => {
  const streams = new Map<number, Stream>();
  /** Those with bytes to digest. Who was served goes to the end. */
  let waiting: Stream[] = [];
  let answers: Answer[] = [];

  const finish = ({ md5, last }: Stream): void => {
    if (last !== undefined) answers.push({ call: last, digest: engine.finish(md5) });
  };

  const advance = (group: readonly Stream[]): void => {
    engine.advance(
      group.map(({ md5, queue }) => ({ md5, span: queue[0]! })),
      BLOCKS,
    );
    for (const stream of group) {
      const { queue } = stream;
      if (queue[0]!.left === 0) answers.push({ call: queue.shift()!.call });
      if (queue.length === 0) finish(stream);
    }
  };

  return {
    accept: (order) => {
      const stream: Stream = streams.get(order.stream) ?? { md5: engine.begin(), queue: [] };
      const { queue } = stream;
      if (order.kind === 'bytes') {
        streams.set(order.stream, stream);
        if (queue.push({ at: order.at, left: order.length, call: order.call }) === 1) waiting.push(stream);
        return;
      }
      streams.delete(order.stream);
      if (order.kind === 'finish') {
        stream.last = order.call;
        if (queue.length === 0) finish(stream);
      } else {
        waiting = waiting.filter((each) => each !== stream);
        for (const { call } of queue) answers.push({ call });
        answers.push({ call: order.call });
      }
    },
    step: () => {
      const group = waiting.splice(0, MOST);
      if (group.length > 0) advance(group);
      waiting.push(...group.filter(({ queue }) => queue.length > 0));
      const done = answers;
      answers = [];
      return done;
    },
    get waits() {
      return waiting.length > 0 || answers.length > 0;
    },
  };
};
