/**
 * Two workers that send one file to one connection by turns: one reads a chunk while the other sends the one before it. Alone a
 * worker's core stands still for the client while it reads.
 */

/** Shared by the threads; cells as below. */
export type Relay = Int32Array;

/** So many chunks have somebody who reads and sends them. */
const CLAIMED = 0;
/** The chunk that may be sent now; `ENDED` when none may any more. */
const TURN = 1;
const ENDED = -1;

export const createRelay = (): Relay => new Int32Array(new SharedArrayBuffer(8));

/** The index of the next chunk, which is the caller's now: he sends it and passes its turn, or nobody sends a later one. */
export const claim = (relay: Relay): number => Atomics.add(relay, CLAIMED, 1);

/** Waits for the turn of a chunk; false when it will not come. */
export const awaitTurn = (relay: Relay, chunk: number): boolean => {
  for (let turn: number; (turn = Atomics.load(relay, TURN)) !== chunk; ) {
    if (turn === ENDED) return false;
    Atomics.wait(relay, TURN, turn);
  }
  return true;
};

/** When its turn is there. @param sent whether all of it was: else it was the last one */
export const passTurn = (relay: Relay, chunk: number, sent: boolean): void => {
  if (!awaitTurn(relay, chunk)) return;
  Atomics.compareExchange(relay, TURN, chunk, sent ? chunk + 1 : ENDED);
  Atomics.notify(relay, TURN);
};

/** No later chunk is sent. For whoever has called the two: one that hangs or was lost passes no turn, and the other waits for it. */
export const endRelay = (relay: Relay): void => {
  Atomics.store(relay, TURN, ENDED);
  Atomics.notify(relay, TURN);
};
