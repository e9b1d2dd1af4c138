/**
 * Two workers that send one file to one connection by turns: one reads a chunk while the other sends the one before it. Alone a
 * worker's core stands still for the client while it reads.
 */

/** Shared by the threads; cells as below. */
export type Relay = Int32Array;

/** So many chunks have somebody who reads and sends them. */
const CLAIMED = 0;
/** The chunk that may be sent now; `ENDED` when none may any more. Whoever has this one alone changes it. */
const TURN = 1;
const ENDED = -1;
/** A thread that was lost passes no turn. The pool has long given up whoever waits for a mount (`PoolOptions.stillMs`). */
const LOST_MS = 60_000;

export const createRelay = (): Relay => new Int32Array(new SharedArrayBuffer(8));

/** The index of the next chunk, which is the caller's now: he sends it or passes its turn, or nobody sends a later one. */
export const claim = (relay: Relay): number => Atomics.add(relay, CLAIMED, 1);

/** Waits for the turn of a chunk; false when it will not come. */
export const awaitTurn = (relay: Relay, chunk: number): boolean => {
  for (let turn: number; (turn = Atomics.load(relay, TURN)) !== chunk; ) {
    if (turn === ENDED || Atomics.wait(relay, TURN, turn, LOST_MS) === 'timed-out') return false;
  }
  return true;
};

/** When its turn is there. @param sent whether all of it was: else it was the last one */
export const passTurn = (relay: Relay, chunk: number, sent: boolean): void => {
  if (!awaitTurn(relay, chunk)) return;
  Atomics.store(relay, TURN, sent ? chunk + 1 : ENDED);
  Atomics.notify(relay, TURN);
};
