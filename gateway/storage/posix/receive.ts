/** The bytes of large bodies on their way to files and digests: through a sink, or taken from connections by the workers. */
import { S3Error } from '../../errors.js';
import type { Actor, Body, Sink } from '../types.js';
import { createBusy } from './busy.js';
import type { StoreContext } from './context.js';
import { moveBytes } from './libc.js';
import type { Turn } from './objects.js';
import { tryDuplicate } from './sockets.js';
import type { Transferring } from './streams.js';
import { close } from './syscalls.js';

/** One is filled, another is written and digested, and a third waits, so that whoever digests never does. */
const CHUNKS = 3;
/** With larger chunks the threads would wait for each other at the beginning and at the end. */
const CHUNK_BYTES = 1 << 20;
/** Smaller chunks are not worth a message each. */
const DIRECT_BYTES = 256 << 10;
/** A chunk with less room than that is full. */
const LEAST_BYTES = 64 << 10;
/** One call waits for its client no longer in all: a thread for each slow one would be too many. */
const TURN_MS = 4;
/** Calls that receive just now. */
let receiving = 0;

/** Brings a body into a transfer. All of it is written then; of what is digested apart, `finish` tells the end. */
export const receiveBody = async (
  { buffers }: StoreContext,
  actor: Actor,
  body: Body,
  { pool, lane, id, apart }: Transferring,
): Promise<void> => {
  const chunks = await buffers.acquire(CHUNKS, body.length, CHUNK_BYTES);
  const size = chunks[0]!.length;
  let [at, used] = [0, 0];
  /** Of the bytes in the chunk so many are in the file. */
  let stored = 0;
  /** What each chunk was last used for: until then it must not be filled again. */
  const passed: Promise<unknown>[] = chunks.map(() => Promise.resolve());
  const written: Promise<unknown>[] = [];
  const busy = createBusy();
  /** Our own descriptor of the connection: Node may close its, and give the number to another client, at any moment. */
  let connection = -1;
  const atConnection = createBusy();
  /** The body has failed, or was whole: chunks and connection are no longer ours. */
  let over = false;
  const requireOngoing = (): void => {
    if (over) throw new S3Error('IncompleteBody');
  };

  const handOn = (): void => {
    const full = chunks[at]!.subarray(0, used);
    const rest = full.subarray(stored);
    const options = { actor, lane, context: 'write' } as const;
    const writing = rest.length > 0 && pool.run('transferWrite', [id, rest], { ...options, ended: busy.begin() });
    const done = Promise.all([writing, apart?.update(full, busy.begin())]);
    // Looked at before the chunk is filled again, and at the end.
    done.catch(() => {});
    [written[at], passed[at]] = [Promise.resolve(writing), done];
    [at, used, stored] = [(at + 1) % CHUNKS, 0, 0];
  };
  /** Hands on what is in the chunk, and waits for the next one. */
  const pass = async (): Promise<void> => {
    handOn();
    await passed[at];
    requireOngoing();
  };
  const take = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      if (used === size) await pass();
      const part = bytes.subarray(done, done + size - used);
      moveBytes(chunks[at]!.subarray(used), part);
      used += part.length;
      done += part.length;
    }
  };
  /** Room in a chunk for what the connection has; none when it cannot be reached. */
  const makeRoom = async (descriptor: number, most: number): Promise<Buffer> => {
    requireOngoing();
    if (connection < 0) connection = tryDuplicate(descriptor);
    if (connection < 0) return Buffer.alloc(0);
    if (size - used < LEAST_BYTES) await pass();
    return chunks[at]!.subarray(used, used + most);
  };
  /** A call that is at the connection and a chunk. */
  const atBoth = async (call: (turn: Turn, ended: () => void) => Promise<number>): Promise<number> => {
    const [filled, left] = [busy.begin(), atConnection.begin()];
    receiving++;
    try {
      return await call({ ms: TURN_MS, patient: receiving * 2 <= pool.size }, () => {
        filled();
        left();
      });
    } finally {
      receiving--;
    }
  };
  const receive = async (room: Uint8Array): Promise<number> => {
    let past = false;
    try {
      return await atBoth((turn, done) => {
        const ended = () => {
          past = true;
          done();
        };
        // The thread that writes it has it in its cache then.
        const options = { actor, prefer: lane, context: 'service', ended } as const;
        return pool.run('receive', [connection, room, turn], options);
      });
    } catch (error) {
      // No worker was free for so long that none will do it: what has come can still come through the sink.
      if (past && error instanceof S3Error && error.code === 'SlowDown') return 0;
      throw error;
    }
  };
  const sink: Sink = (bytes) => {
    requireOngoing();
    const chunk = chunks[at]!;
    const from = bytes.buffer === chunk.buffer ? bytes.byteOffset - chunk.byteOffset : -1;
    // All chunks are of one memory.
    if (from >= 0 && from < size) {
      // Received here; without what framed it, it moves up.
      if (from !== used) moveBytes(chunk.subarray(used), bytes);
    } else if (bytes.length > size - used) return take(bytes);
    else moveBytes(chunk.subarray(used), bytes);
    used += bytes.length;
    return undefined;
  };
  if (size >= DIRECT_BYTES) {
    sink.receive = async (descriptor, most) => {
      const room = await makeRoom(descriptor, most);
      const count = room.length > 0 ? await receive(room) : 0;
      return { piece: room.subarray(0, count), more: count === room.length };
    };
    sink.keep = async (descriptor, most) => {
      const room = await makeRoom(descriptor, most);
      if (room.length === 0) return { bytes: 0, more: false };
      const before = chunks[at]!.subarray(stored, used);
      const bytes = await atBoth((turn, ended) =>
        pool.run('transferReceive', [id, before, connection, room, turn], { actor, lane, context: 'write', ended }),
      );
      used += bytes;
      stored = used;
      return { bytes, more: bytes === room.length };
    };
  }
  try {
    await body.read(sink);
    if (used > 0) handOn();
    await Promise.all(written);
  } finally {
    over = true;
    // Another stream's bytes must never be in a chunk that a worker is at, nor may it take those of another client: they come
    // back when a mount that hangs does.
    atConnection.after(() => connection >= 0 && close(connection));
    busy.after(() => buffers.release(chunks));
  }
};
