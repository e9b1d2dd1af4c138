/**
 * Whether a file is a whole LMDB: every page that can be reached is one, and nothing in it points elsewhere. LMDB trusts its
 * file and has no checksums; reading a damaged one ends the process. Layout: `MDB_page_header`, `MDB_node`, `MDB_db` and
 * `MDB_meta` of mdb.c in the version that the package `lmdb` brings.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

export const PAGE = 4096;

/** Something in a catalog is not what was written. */
export class Damaged extends Error {}

const HEADER = 24;
const META_MAGIC = 0xbeefc0de;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** Of a page: what it is. */
const [BRANCH, LEAF, OVERFLOW, LEAF2, SUBPAGE] = [0x01, 0x02, 0x04, 0x20, 0x40];
const KINDS = 0x7f;
/** Of a node in a leaf. */
const [BIG, SUBTREE, DUPLICATES] = [0x01, 0x02, 0x04];
/** Of an environment: it may have been written faster than it was synced. */
const OVERLAPPING = 0x1000;
const [NODE, TREE] = [8, 48];
/** Deeper than any tree gets. */
const DEEPEST = 32;

/** The roots of the free list and of the databases, and when they were written. */
interface Meta {
  trees: [Buffer, Buffer];
  txn: bigint;
  boot: bigint;
  overlapping: boolean;
}

/** True where there is no file. @param all reads all of it, and not its beginnings only: the roots of its trees */
export function isWholeDatabase(path: string, all: boolean): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
  try {
    const meta = currentMeta(fd);
    const pages = Math.floor(fstatSync(fd).size / PAGE);
    if (!meta) return false;
    const reader = createReader(fd, pages, all);
    return meta.trees.every((tree) => isWholeTree(reader, tree));
  } finally {
    closeSync(fd);
  }
}

function currentMeta(fd: number): Meta | undefined {
  const bytes = Buffer.alloc(2 * PAGE);
  if (readSync(fd, bytes, 0, bytes.length, 0) < bytes.length) return undefined;
  const metaAt = (at: number): Meta => ({
    trees: [bytes.subarray(at + 24, at + 24 + TREE), bytes.subarray(at + 72, at + 72 + TREE)],
    txn: bytes.readBigUInt64LE(at + 128),
    boot: bytes.readBigInt64LE(at + 136),
    overlapping: (bytes.readUInt16LE(at + 28) & OVERLAPPING) !== 0,
  });
  const [first, second] = [HEADER, PAGE + HEADER];
  if ([first, second].some((at) => bytes.readUInt32LE(at) !== META_MAGIC)) return undefined;
  // As `mdb_pick_meta`: after a crash of the machine the last one that was synced, which stands in the middle of a page.
  const boot = BigInt(`0x${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)}`);
  const pick = (a: Meta, b: Meta): Meta => {
    const latest = a.txn >= b.txn ? a : b;
    if (b.txn === 0n || latest.boot === boot || !latest.overlapping) return b.txn === 0n ? a : latest;
    return a.txn > b.txn ? b : a;
  };
  return pick(pick(metaAt(first), metaAt(second)), metaAt(first + PAGE / 2));
}

interface Reader {
  all: boolean;
  /** Undefined where there is none, or it was reached before. */
  read(page: bigint, count?: number): Buffer | undefined;
}

function createReader(fd: number, pages: number, all: boolean): Reader {
  const reached = new Uint8Array(pages);
  return {
    all,
    read(page, count = 1) {
      if (page < 2n || page + BigInt(count) > BigInt(pages)) return undefined;
      const first = Number(page);
      for (let each = first; each < first + count; each++) {
        if (reached[each] !== 0) return undefined;
        reached[each] = 1;
      }
      const bytes = Buffer.allocUnsafe(PAGE);
      const whole = readSync(fd, bytes, 0, PAGE, first * PAGE) === PAGE;
      return whole && bytes.readBigUInt64LE(0) === page ? bytes : undefined;
    },
  };
}

/** @param tree an `MDB_db` */
function isWholeTree(reader: Reader, tree: Buffer): boolean {
  const depth = tree.readUInt16LE(6);
  const root = tree.readBigUInt64LE(40);
  if (root === NO_PAGE) return true;
  return depth >= 1 && depth <= DEEPEST && isWholePage(reader, root, depth);
}

function isWholePage(reader: Reader, number: bigint, depth: number): boolean {
  const page = reader.read(number);
  if (!page) return false;
  const kind = page.readUInt16LE(18) & KINDS;
  if (depth === 1 && kind === (LEAF | LEAF2)) return isWholeRow(page, 0, PAGE);
  if (kind !== (depth > 1 ? BRANCH : LEAF)) return false;
  return everyNode(page, 0, PAGE, (at, end) => {
    if (depth === 1) return isWholeNode(reader, page, at, end);
    // A number of 48 bits in place of size and flags.
    const child = BigInt(page.readUIntLE(at, 6));
    if (at + NODE + page.readUInt16LE(at + 6) > end) return false;
    return !reader.all || isWholePage(reader, child, depth - 1);
  });
}

/** Keys of one size, one behind the other. */
const isWholeRow = (page: Buffer, start: number, end: number): boolean => {
  const count = page.readUInt16LE(start + 20) >> 1;
  return count > 0 && start + HEADER + count * page.readUInt16LE(start + 16) <= end;
};

/** Of a page, or of a page within a node: bounds, and each node's place. @param visit gets where a node begins, and the page ends */
function everyNode(page: Buffer, start: number, end: number, visit: (at: number, end: number) => boolean): boolean {
  const [lower, upper] = [page.readUInt16LE(start + 20), page.readUInt16LE(start + 22)];
  const body = start + HEADER;
  if (lower < 2 || lower % 2 !== 0 || lower > upper || body + upper > end) return false;
  for (let slot = body; slot < body + lower; slot += 2) {
    const at = body + page.readUInt16LE(slot);
    if (at < body + upper || at + NODE > end || !visit(at, end)) return false;
  }
  return true;
}

function isWholeNode(reader: Reader, page: Buffer, at: number, end: number): boolean {
  const size = page.readUInt32LE(at);
  const flags = page.readUInt16LE(at + 4);
  const data = at + NODE + page.readUInt16LE(at + 6);
  const held = flags & BIG ? 24 : size;
  if (flags > (BIG | SUBTREE | DUPLICATES) || data + held > end) return false;
  if (flags & BIG) return isWholeOverflow(reader, page.readBigUInt64LE(data), size);
  if (flags & SUBTREE) return size === TREE && isWholeTree(reader, page.subarray(data, data + TREE));
  if (!(flags & DUPLICATES)) return true;
  // Several values of one key: a small page of its own.
  if (size < HEADER) return false;
  const kind = page.readUInt16LE(data + 18) & KINDS;
  if (kind === (SUBPAGE | LEAF | LEAF2)) return isWholeRow(page, data, data + size);
  if (kind !== (SUBPAGE | LEAF)) return false;
  return everyNode(page, data, data + size, (node, last) => node + NODE + page.readUInt16LE(node + 6) <= last);
}

function isWholeOverflow(reader: Reader, number: bigint, size: number): boolean {
  const count = Math.floor((HEADER - 1 + size) / PAGE) + 1;
  const page = reader.read(number, count);
  return page !== undefined && (page.readUInt16LE(18) & KINDS) === OVERFLOW && page.readUInt32LE(20) >= count;
}
