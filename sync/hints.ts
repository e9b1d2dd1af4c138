/** Hints, coalesced: a directory with many changed names is looked at once, when it has come to rest or not for long. */
import type { DirBytes, Hint } from './types.js';

export interface HintBatch {
  dir: DirBytes;
  /** Undefined: the directory as a whole. */
  names: ReadonlySet<string> | undefined;
  /** With all that is below: the directory, or these of its names; also where the directory is looked at as a whole. */
  deep: boolean | ReadonlySet<string>;
  settled: readonly (() => void)[];
}

export interface Hints {
  add(hint: Hint): void;
  /** What was taken out and could not be followed. */
  putBack(batches: readonly HintBatch[]): void;
  /** Takes out what is due, at most so many directories and `NAMES_AT_ONCE` names. A directory may come in pieces. */
  due(limit: number): HintBatch[];
  /** Milliseconds until something is due; Infinity when nothing waits. */
  wait(): number;
  /** Directories that wait, and pieces of them. */
  readonly size: number;
}

export interface HintsOptions {
  /** A directory is looked at when so many milliseconds have passed without another hint for it … */
  restMs?: number;
  /** … or so many since the first one. */
  mostMs?: number;
  now?: () => number;
}

/** More names than this in all are forgotten for a look at the whole of a directory: what is remembered stays bounded. */
const MANY_NAMES = 100_000;
/** The same of names of one directory that are to be looked at with all below. */
const MANY_TREES = 1000;
/** Where each look takes long, the lease has to be renewed in between. */
const NAMES_AT_ONCE = 250;
/** More directories than this are forgotten for one look at everything: what is remembered stays bounded. */
const MANY_DIRECTORIES = 20_000;

interface Waiting {
  first: number;
  last: number;
  names: Set<string> | undefined;
  deep: Set<string> | true | undefined;
  settled: (() => void)[];
}

export function createHints({ restMs = 200, mostMs = 1000, now = () => performance.now() }: HintsOptions = {}): Hints {
  /** In the order in which they were first hinted at. */
  const waiting = new Map<DirBytes, Waiting>();
  /** Of a directory with many names, what is left of those that it had when it became due. Later hints wait for themselves. */
  const pieces: HintBatch[] = [];
  /** Names of `waiting`. */
  let known = 0;
  let piecesFirst = true;
  const dueAt = ({ first, last }: Waiting) => Math.min(last + restMs, first + mostMs);

  function forgetNames(at: Waiting): void {
    known -= at.names?.size ?? 0;
    at.names = undefined;
  }

  /** Of the directory that has the most of them: it takes the place of as many looks. */
  function forgetMostNames(): void {
    let most: Waiting | undefined;
    for (const at of waiting.values()) if ((at.names?.size ?? 0) > (most?.names?.size ?? 0)) most = at;
    if (most) forgetNames(most);
  }

  function add({ dir, name, deep = false, settled }: Hint): void {
    if (waiting.size >= MANY_DIRECTORIES && !waiting.has(dir)) {
      const all = [...waiting.values()].flatMap((each) => each.settled);
      waiting.clear();
      known = 0;
      if (settled) all.push(settled);
      waiting.set('', { first: now(), last: now(), names: undefined, deep: true, settled: all });
      return;
    }
    let at = waiting.get(dir);
    if (!at) waiting.set(dir, (at = { first: now(), last: now(), names: new Set(), deep: undefined, settled: [] }));
    at.last = now();
    if (settled) at.settled.push(settled);
    if (name === undefined) {
      forgetNames(at);
      if (deep) at.deep = true;
      return;
    }
    if (at.names && !at.names.has(name)) {
      at.names.add(name);
      known++;
    }
    if (deep && at.deep !== true) at.deep = (at.deep ?? new Set<string>()).add(name);
    if (known > MANY_NAMES) forgetMostNames();
    if (at.deep !== true && (at.deep?.size ?? 0) > MANY_TREES) {
      forgetNames(at);
      at.deep = true;
    }
  }

  function putBack(batches: readonly HintBatch[]): void {
    for (const { dir, names, deep, settled } of batches) {
      if (!names) add({ dir, deep: deep === true });
      const deeply = typeof deep === 'object' ? deep : new Set<string>();
      for (const name of names ?? deeply) add({ dir, name, deep: deeply.has(name) });
      waiting.get(dir)?.settled.push(...settled);
    }
  }

  return {
    add,
    putBack,
    due(limit) {
      const taken: HintBatch[] = [];
      let room = NAMES_AT_ONCE;
      const takePieces = (): void => {
        while (pieces.length > 0 && taken.length < limit && pieces[0]!.names!.size <= room) {
          taken.push(pieces.shift()!);
          room -= taken.at(-1)!.names!.size;
        }
      };
      // By turns: neither waits for all of the other.
      if (piecesFirst) takePieces();
      piecesFirst = !piecesFirst;
      for (const [dir, at] of waiting) {
        if (taken.length >= limit || room === 0) break;
        const size = at.names?.size ?? 0;
        if (dueAt(at) > now() || (size > room && pieces.length > 0)) continue;
        waiting.delete(dir);
        known -= size;
        const batch = { dir, names: at.names, deep: at.deep ?? false, settled: at.settled };
        if (size <= room) {
          taken.push(batch);
          room -= size;
        } else pieces.push(...cut(batch));
      }
      takePieces();
      return taken;
    },
    wait() {
      if (pieces.length > 0) return 0;
      let least = Number.POSITIVE_INFINITY;
      // The first is due within `mostMs` anyway; a look at a few tells well enough.
      let looks = 0;
      for (const at of waiting.values()) {
        least = Math.min(least, dueAt(at) - now());
        if (++looks > 32) break;
      }
      return Math.max(0, least);
    },
    get size() {
      return waiting.size + pieces.length;
    },
  };
}

/** In batches of at most `NAMES_AT_ONCE`. Who waits for it hears when all of them are settled. */
function cut({ dir, names, deep, settled }: HintBatch): HintBatch[] {
  const all = [...(names ?? [])];
  const batches: HintBatch[] = [];
  let left = Math.ceil(all.length / NAMES_AT_ONCE);
  const part = (): void => {
    if (--left === 0) for (const each of settled) each();
  };
  for (let at = 0; at < all.length; at += NAMES_AT_ONCE) {
    const some = new Set(all.slice(at, at + NAMES_AT_ONCE));
    const deeply = typeof deep === 'object' ? new Set([...deep].filter((name) => some.has(name))) : deep;
    batches.push({ dir, names: some, deep: deeply, settled: settled.length > 0 ? [part] : [] });
  }
  return batches;
}
