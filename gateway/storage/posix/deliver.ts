/** The bytes of large objects on their way from files to clients: through a sink, or sent by the workers themselves. */
import type { Actor, Sink } from '../types.js';
import type { StoreContext } from './context.js';
import { createRelay, endRelay } from './relay.js';
import { shutdown, tryDuplicate } from './sockets.js';
import type { OpenFile } from './streams.js';
import { close } from './syscalls.js';

/** Up to so many bytes one chunk through the sink costs no more than a call that sends. */
const SINK_BYTES = 1 << 20;
/** With the head of a reply: a client that waits for it sees it soon. */
const FIRST_BYTES = 256 << 10;
/** So many bytes of what is not in memory go through the sink: there one chunk is read while the other is written. */
const SLOW_BYTES = 16 << 20;
/** A worker may wait for a client that needs no longer: a thread for each slow one would be too many. */
const QUICK_MS = 2;
/**
 * One call sends for so long, less when there are more of them than threads: others wait meanwhile. The second is for one whose
 * pool has nothing else to do: each turn ends with two messages, in which nothing is sent.
 */
const [TURN_MS, ALONE_MS] = [8, 16];
/** More than that two workers send by turns (`relay.ts`), as long as there is nothing else to send. */
const PAIR_BYTES = 4 << 20;
/** Of the main thread's time: with more to do it has others to answer, who would wait for the two. */
const PAIR_BUSY = 0.25;
const LOOK_MS = 50;
/** What is being delivered, and what of that workers send just now. */
let [delivering, sending] = [0, 0];

/** The last look at the main thread, and what was seen. */
let look = { usage: performance.eventLoopUtilization(), calm: true };
/** Whether it has little to do. */
const isCalm = (): boolean => {
  const { active, idle, utilization } = performance.eventLoopUtilization(look.usage);
  if (active + idle > LOOK_MS) look = { usage: performance.eventLoopUtilization(), calm: utilization < PAIR_BUSY };
  return look.calm;
};

/** Delivers bytes of an open file. */
export const deliver = async (
  { poolOf, buffers }: StoreContext,
  actor: Actor,
  { fd, seen, bucket, busy }: OpenFile,
  start: number,
  length: number,
  sink: Sink,
): Promise<void> => {
  if (length === 0) return;
  const alone = delivering++ === 0 && sink.socket !== undefined && poolOf(bucket).size > 1;
  const lent = await buffers.acquire(alone && length > PAIR_BYTES ? 2 : 1, length).catch((error) => {
    delivering--;
    throw error;
  });
  // As a whole for calls that send: each of those wakes the client, which takes as long as to copy 100 KiB.
  const whole = lent[0]!;
  const half = length <= whole.length ? whole.length : whole.length / 2;
  const chunks = [whole.subarray(0, half), whole.subarray(whole.length - half)];
  const end = start + length;
  const { socket } = sink;
  /** Our own descriptor of the connection: Node may close its, and give the number to another client, at any moment. */
  let connection = -1;
  /** The client took no time to make room in its connection when it was last waited for; at first that is supposed. */
  let quick = true;

  const read = async (chunk: Buffer, at: number): Promise<void> => {
    const pool = poolOf(bucket);
    await pool.run('readObject', [fd, chunk, at, seen], { actor, context: 'service', ended: busy.begin() });
  };
  /** One chunk is handed out while the next is read. */
  const through = async (from: number, to: number): Promise<void> => {
    const next = (index: number, at: number) => {
      const chunk = chunks[index % 2]!.subarray(0, Math.min(chunks[0]!.length, to - at));
      const done = read(chunk, at).then(() => chunk);
      done.catch(() => {});
      return done;
    };
    let reading = next(0, from);
    for (let index = 0, at = from; at < to; index++) {
      const chunk = await reading;
      at += chunk.length;
      if (at < to) reading = next(index + 1, at);
      await sink(chunk);
    }
  };
  /** Whether the connection can be written to. */
  const reach = (): boolean => {
    const theirs = socket?.descriptor();
    if (theirs !== undefined && connection < 0) connection = tryDuplicate(theirs);
    return theirs !== undefined && connection >= 0;
  };
  /** What goes out in one turn, and what was read behind it and not taken. */
  const send = async (at: number): Promise<{ sent: number; rest: Buffer; slow: boolean }> => {
    const pool = poolOf(bucket);
    const relay = createRelay();
    sending++;
    try {
      const share = Math.min(1, pool.size / sending);
      const ms = pool.idle && pool.size > 1 ? ALONE_MS : TURN_MS;
      const turn = { ms: Math.max(1, ms * share), patient: quick && share === 1 };
      const two = lent.length > 1 && quick && sending === 1 && pool.free > 1 && isCalm();
      const by = async (chunk: Buffer) => {
        const options = { actor, context: 'service', ended: busy.begin(), beside: two } as const;
        const done = await pool.run('sendObject', [fd, connection, chunk, at, end - at, seen, turn, relay], options);
        return { ...done, rest: chunk.subarray(done.from, done.to) };
      };
      const all = await Promise.all((two ? lent : [whole]).map(by));
      const sent = all.reduce((sum, done) => sum + done.sent, 0);
      const rest = all.find((done) => done.rest.length > 0)?.rest ?? Buffer.alloc(0);
      return { sent, rest, slow: all.every((done) => done.slow) };
    } catch (error) {
      endRelay(relay);
      throw error;
    } finally {
      sending--;
    }
  };

  try {
    // The head of the reply goes out with the first of them.
    let at = Math.min(end, start + (socket && length > SINK_BYTES ? FIRST_BYTES : length));
    await through(start, at);
    while (at < end) {
      let slow = !reach();
      if (!slow) {
        const done = await send(at);
        at += done.sent;
        socket!.sent(done.sent);
        // Settles when the connection takes bytes again, or rejects when it is broken.
        if (done.rest.length > 0) {
          const since = performance.now();
          await sink(done.rest);
          quick = performance.now() - since < QUICK_MS;
          at += done.rest.length;
        }
        slow = done.slow;
      }
      if (!slow || at === end) continue;
      const to = Math.min(end, at + SLOW_BYTES);
      await through(at, to);
      at = to;
    }
  } catch (error) {
    // A worker that hangs may still send later; and our descriptor would keep the connection, whoever closes his.
    if (connection >= 0) shutdown(connection);
    throw error;
  } finally {
    delivering--;
    // Another stream's bytes must never be in a chunk that a worker is at, nor another client get what it sends: they come back
    // when a mount that hangs does.
    busy.after(() => {
      buffers.release(lent);
      if (connection >= 0) close(connection);
    });
  }
};
