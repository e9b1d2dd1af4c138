/**
 * How a gateway tells the leaders of buckets, wherever they are, that it has written something down for them: it appends the
 * names of the buckets to a file of its own, `<root>/.tidegate/bells/<gateway>.bell`. So one directory tells of all buckets, and
 * those in which nothing happens need not be looked at again and again.
 *
 * A bell is a hint. One that cannot be rung or is not heard costs seconds: leaders look by themselves, too.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, unlinkSync } from 'node:fs';
import { appendFile, mkdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bucket } from '../gateway/storage/types.js';
import { gatewayId } from './inbox.js';
import { hasEnded } from './inbox-reader.js';

const bellsOf = (root: string): string => join(root, '.tidegate', 'bells');
/** Several that are rung within so many milliseconds are one write. */
const GATHER_MS = 150;
/** Bytes at which a file is begun anew. */
const MOST_BYTES = 1 << 20;
/** Milliseconds after which the file of a gateway that is not of this machine is taken for left behind. */
const STALE_MS = 24 * 3_600_000;

export interface Bell {
  /** Never rejects, never throws. */
  ring(bucket: Pick<Bucket, 'name'>): void;
  /** After the last one is written. */
  close(): Promise<void>;
}

export function createBell(root: string): Bell {
  const directory = bellsOf(root);
  const path = join(directory, `${gatewayId}.bell`);
  const names = new Set<string>();
  let size = 0;
  let working = false;

  async function write(): Promise<void> {
    const text = [...names].map((name) => `${name}\n`).join('');
    names.clear();
    if (size > MOST_BYTES) {
      await truncate(path);
      size = 0;
    }
    size += text.length;
    try {
      await appendFile(path, text, { mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await appendFile(path, text, { mode: 0o600 });
    }
  }

  async function work(): Promise<void> {
    // The first one is heard at once, what follows it is gathered.
    while (names.size > 0) {
      await write().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS).unref());
    }
    working = false;
  }

  return {
    ring({ name }) {
      names.add(name);
      if (working) return;
      working = true;
      // Several of one turn of the event loop are one write, too.
      setImmediate(() => void work());
    },
    async close() {
      if (names.size > 0) await write().catch(() => {});
    },
  };
}

export interface BellHearer {
  /** The names of buckets for which bells were rung since the last time. Synchronous. @throws errno errors */
  hear(): Set<string>;
}

export function createBellHearer(root: string): BellHearer {
  const directory = bellsOf(root);
  const heard = new Map<string, number>();

  function readNew(file: string, into: Set<string>, now: number): void {
    const fd = openSync(join(directory, file), 'r');
    try {
      const { size, mtimeMs } = fstatSync(fd);
      const known = heard.get(file) ?? 0;
      // Begun anew.
      const from = known > size ? 0 : known;
      const bytes = Buffer.alloc(size - from);
      const got = readSync(fd, bytes, 0, bytes.length, from);
      const whole = bytes.subarray(0, got).lastIndexOf(10) + 1;
      heard.set(file, from + whole);
      for (const name of bytes.toString('latin1', 0, whole).split('\n')) if (name !== '') into.add(name);
      if (whole === 0 && (hasEnded(file) || now - mtimeMs > STALE_MS)) {
        unlinkSync(join(directory, file));
        heard.delete(file);
      }
    } finally {
      closeSync(fd);
    }
  }

  return {
    hear() {
      const rung = new Set<string>();
      const now = Date.now();
      let files: string[];
      try {
        files = readdirSync(directory).filter((file) => file.endsWith('.bell'));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return rung;
        throw error;
      }
      for (const file of files) {
        try {
          readNew(file, rung, now);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        }
      }
      for (const file of heard.keys()) if (!files.includes(file)) heard.delete(file);
      return rung;
    },
  };
}
