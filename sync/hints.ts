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
  /** Takes out what is due, at most so many directories. */
  due(limit: number): HintBatch[];
  /** Milliseconds until something is due; Infinity when nothing waits. */
  wait(): number;
  /** Directories that wait. */
  readonly size: number;
}

export interface HintsOptions {
  /** A directory is looked at when so many milliseconds have passed without another hint for it … */
  restMs?: number;
  /** … or so many since the first one. */
  mostMs?: number;
  now?: () => number;
}

/** More names than this are as well found by reading the whole directory. */
const MANY_NAMES = 1000;
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
  const dueAt = ({ first, last }: Waiting) => Math.min(last + restMs, first + mostMs);

  function add({ dir, name, deep = false, settled }: Hint): void {
    if (waiting.size >= MANY_DIRECTORIES && !waiting.has(dir)) {
      const all = [...waiting.values()].flatMap((each) => each.settled);
      waiting.clear();
      if (settled) all.push(settled);
      waiting.set('', { first: now(), last: now(), names: undefined, deep: true, settled: all });
      return;
    }
    let at = waiting.get(dir);
    if (!at) waiting.set(dir, (at = { first: now(), last: now(), names: new Set(), deep: undefined, settled: [] }));
    at.last = now();
    if (settled) at.settled.push(settled);
    if (name === undefined) {
      at.names = undefined;
      if (deep) at.deep = true;
      return;
    }
    at.names?.add(name);
    if (deep && at.deep !== true) at.deep = (at.deep ?? new Set<string>()).add(name);
    if ((at.names?.size ?? 0) > MANY_NAMES) at.names = undefined;
    if (at.deep !== true && (at.deep?.size ?? 0) > MANY_NAMES) {
      at.names = undefined;
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
      for (const [dir, at] of waiting) {
        if (taken.length >= limit) break;
        if (dueAt(at) > now()) continue;
        waiting.delete(dir);
        const { names, deep, settled } = at;
        taken.push({ dir, names, deep: deep ?? false, settled });
      }
      return taken;
    },
    wait() {
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
      return waiting.size;
    },
  };
}
