/**
 * Many names in one piece of memory, sorted by their bytes: a string for each of a million takes four times as much, seconds to
 * sort, and the collector's time as long as they are held.
 */

/** In order. */
export interface PackedNames {
  readonly count: number;
  /** What they take, in bytes. */
  readonly bytes: number;
  /** A name, latin1. */
  at(index: number): string;
  /** Negative, 0 or positive: a name to a text (latin1). */
  compare(index: number, text: string): number;
  /** Index of the first name >= `wanted` (latin1), from `low` on. */
  lowerBound(wanted: string, low: number): number;
}

export interface NameBag {
  readonly count: number;
  readonly bytes: number;
  /** Up to 256 bytes. @param slash put behind them, and counted */
  add(from: Uint8Array, start: number, length: number, slash: boolean): void;
  /** Leaves the smallest of them, as many as that takes; returns the greatest that is left. @param size in bytes */
  shrink(most: number, size: number): string;
  /** Takes out what is smaller (latin1). */
  dropBelow(floor: string): void;
  /** Nothing may be added afterwards. */
  sorted(): PackedNames;
}

/** In front of each name: its length less one. */
const HEAD = 1;
/** What a name takes beside its bytes: its head, and its place in the order. */
const BESIDE = HEAD + 4;

const weightOf = (bytes: Uint8Array, at: number): number => bytes[at]! + 1 + BESIDE;

/** More than this is not copied once more, unless a good part of its memory is empty. */
const LARGE = 1 << 20;
/** Sorted names take up to so many times what they need: what keeps them counts on it (`names.ts`). */
export const MOST_EMPTY = 1.25;

/** Where names are put together, one bag at a time: most directories are small, and there are many of them. */
const desk = {
  bytes: Buffer.allocUnsafeSlow(64 << 10),
  order: new Uint32Array(4096),
  keys: new BigUint64Array(4096),
  before: new Uint32Array(4096),
};

/** An empty bag. The one before must not be used any more. */
export function createNameBag(): NameBag {
  let { bytes, order } = desk;
  let used = 0;
  let count = 0;

  const room = (): void => {
    if (bytes.length - used < HEAD + 256) {
      const larger = Buffer.allocUnsafeSlow(bytes.length * 2);
      bytes.copy(larger, 0, 0, used);
      bytes = larger;
    }
    if (count === order.length) {
      const longer = new Uint32Array(count * 2);
      longer.set(order);
      order = longer;
    }
  };

  /** Only these stay, and what they took beside the others is free again. */
  const keep = (some: Uint32Array): void => {
    const old = bytes;
    bytes = Buffer.allocUnsafeSlow(bytes.length);
    used = 0;
    for (const [i, at] of some.entries()) {
      const length = old[at]! + 1 + HEAD;
      old.copy(bytes, used, at, at + length);
      order[i] = used;
      used += length;
    }
    count = some.length;
  };

  /** Bytes and places in one piece that has no more room than that. */
  const packed = (): [Buffer, Uint32Array] => {
    const length = (used + 3) & ~3;
    const memory = new ArrayBuffer(length + count * 4);
    const [names, places] = [Buffer.from(memory, 0, used), new Uint32Array(memory, length)];
    bytes.copy(names, 0, 0, used);
    places.set(order.subarray(0, count));
    return [names, places];
  };

  return {
    get count() {
      return count;
    },
    get bytes() {
      return used + count * 4;
    },
    add(from, start, length, slash) {
      room();
      order[count++] = used;
      bytes[used++] = length - 1 + (slash ? 1 : 0);
      for (let i = 0; i < length; i++) bytes[used++] = from[start + i]!;
      if (slash) bytes[used++] = 0x2f;
    },
    shrink(most, size) {
      sort(bytes, order.subarray(0, count), 0, desk);
      let [kept, weight] = [0, 0];
      // Two at least: whoever reads on behind the last one must come further.
      for (; kept < count && (kept < 2 || (kept < most && weight <= size)); kept++) {
        weight += weightOf(bytes, order[kept]!);
      }
      if (kept < count) keep(order.slice(0, kept));
      return textAt(bytes, order[kept - 1]!);
    },
    dropBelow(floor) {
      keep(order.slice(0, count).filter((at) => compare(bytes, at, floor) >= 0));
    },
    sorted() {
      const needed = used + count * 4;
      const held = bytes.length + order.byteLength;
      const own = bytes !== desk.bytes && order !== desk.order && held > LARGE && held <= needed * MOST_EMPTY;
      const [names, places] = own ? [bytes, order.subarray(0, count)] : packed();
      sort(names, places, 0, desk);
      return {
        count,
        bytes: own ? held : needed,
        at: (index) => textAt(names, places[index]!),
        compare: (index, text) => compare(names, places[index]!, text),
        lowerBound(wanted, low) {
          let high = places.length;
          while (low < high) {
            const middle = (low + high) >>> 1;
            if (compare(names, places[middle]!, wanted) < 0) low = middle + 1;
            else high = middle;
          }
          return low;
        },
      };
    },
  };
}

const textAt = (bytes: Buffer, at: number): string => bytes.toString('latin1', at + HEAD, at + HEAD + bytes[at]! + 1);

/** Negative, 0 or positive: the name at a place to a text (latin1). */
function compare(bytes: Uint8Array, at: number, text: string): number {
  const length = bytes[at]! + 1;
  const both = Math.min(length, text.length);
  for (let i = 0; i < both; i++) {
    const difference = bytes[at + HEAD + i]! - text.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return length - text.length;
}

// ---- sorting -----------------------------------------------------------------------------------------------------

/** So many bytes of each name are sorted at a time, as the upper ones of a number of 64 bits. */
const AT_ONCE = 5;
/** The lower 24 bits say which name it is. */
const MOST = 1 << 24;
const FEW = 12;

/** Sorts places by the bytes of their names, which are the same up to `depth`. @param room memory to do it in, if it is enough */
function sort(bytes: Uint8Array, places: Uint32Array, depth: number, room?: typeof desk): void {
  const { length } = places;
  if (length <= FEW) {
    insert(bytes, places, depth);
    return;
  }
  if (length > MOST) throw new RangeError('too many names');
  const from = depth + common(bytes, places, depth);
  // V8 sorts such numbers by machine code, ten times as fast as by a function that compares.
  const fits = room && length <= room.keys.length;
  const keys = fits ? room.keys.subarray(0, length) : new BigUint64Array(length);
  const words = new Uint32Array(keys.buffer, 0, length * 2);
  for (let i = 0; i < length; i++) {
    const at = places[i]!;
    const first = at + HEAD + from;
    // Bytes that a name has not got are 0, which no name has: the shorter one comes first.
    const have = bytes[at]! + 1 - from;
    if (have >= AT_ONCE) {
      words[i * 2 + 1] =
        (bytes[first]! << 24) | (bytes[first + 1]! << 16) | (bytes[first + 2]! << 8) | bytes[first + 3]!;
      words[i * 2] = (bytes[first + 4]! << 24) | i;
    } else {
      let upper = 0;
      for (let j = 0; j < 4; j++) upper = (upper << 8) | (j < have ? bytes[first + j]! : 0);
      words[i * 2 + 1] = upper;
      words[i * 2] = i;
    }
  }
  keys.sort();
  const before = fits ? room.before : new Uint32Array(length);
  before.set(places);
  for (let i = 0; i < length; i++) places[i] = before[words[i * 2]! & (MOST - 1)]!;
  for (let begin = 0, end = 1; begin < length; begin = end, end++) {
    const [upper, last] = [words[begin * 2 + 1]!, words[begin * 2]! >>> 24];
    while (end < length && words[end * 2 + 1] === upper && words[end * 2]! >>> 24 === last) end++;
    // Those that have come to their end here are the same.
    if (end - begin > 1 && last !== 0) sort(bytes, places.subarray(begin, end), from + AT_ONCE);
  }
}

/** How many bytes behind `depth` all of them have in common. */
function common(bytes: Uint8Array, places: Uint32Array, depth: number): number {
  const first = places[0]!;
  let same = bytes[first]! + 1 - depth;
  for (let i = 1; i < places.length && same > 0; i++) {
    const at = places[i]!;
    const most = Math.min(same, bytes[at]! + 1 - depth);
    for (same = 0; same < most && bytes[at + HEAD + depth + same] === bytes[first + HEAD + depth + same]; ) same++;
  }
  return same;
}

function insert(bytes: Uint8Array, places: Uint32Array, depth: number): void {
  for (let i = 1; i < places.length; i++) {
    const at = places[i]!;
    let j = i;
    for (; j > 0 && isLess(bytes, at, places[j - 1]!, depth); j--) places[j] = places[j - 1]!;
    places[j] = at;
  }
}

function isLess(bytes: Uint8Array, a: number, b: number, depth: number): boolean {
  const [lengthA, lengthB] = [bytes[a]! + 1, bytes[b]! + 1];
  const both = Math.min(lengthA, lengthB);
  for (let i = depth; i < both; i++) {
    const difference = bytes[a + HEAD + i]! - bytes[b + HEAD + i]!;
    if (difference !== 0) return difference < 0;
  }
  return lengthA < lengthB;
}
