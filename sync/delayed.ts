/** Things that are to be looked at after a while, in the order in which they become due. */
export interface Delayed<T> {
  put(items: readonly T[], ms: number): void;
  /** Takes out what is due. */
  due(): T[];
  /** Milliseconds until the next is due; Infinity when nothing waits. */
  wait(): number;
  readonly size: number;
}

export function createDelayed<T>(now: () => number = () => performance.now()): Delayed<T> {
  const batches: { at: number; items: readonly T[] }[] = [];
  let size = 0;
  return {
    put(items, ms) {
      if (items.length === 0) return;
      const at = now() + ms;
      let place = batches.length;
      while (place > 0 && batches[place - 1]!.at > at) place--;
      batches.splice(place, 0, { at, items });
      size += items.length;
    },
    due() {
      const taken: T[] = [];
      while (batches.length > 0 && batches[0]!.at <= now()) taken.push(...batches.shift()!.items);
      size -= taken.length;
      return taken;
    },
    wait: () => (batches.length === 0 ? Number.POSITIVE_INFINITY : Math.max(0, batches[0]!.at - now())),
    get size() {
      return size;
    },
  };
}
