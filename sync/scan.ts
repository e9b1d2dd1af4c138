/** Looks at a whole tree, directory by directory, in slices that leave room for other work between them. */
import { maxKeyBytes } from '../gateway/storage/keys.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import type { Catalog, DirectoryEntry } from './catalog.js';
import { type DirectoryLook, type Finding, type Glance, lookAtDirectory, statDirectory } from './look.js';
import type { DirBytes, KeyBytes } from './types.js';

export interface ScanTarget {
  dir: DirBytes;
  /** Only keys that begin with it; it begins with `dir`. */
  prefix?: KeyBytes;
  /** Only this directory itself. */
  shallow?: boolean;
  /**
   * Directories whose times are those of the last look are not read again: finds names that came and went, in a fraction of
   * the time, but not what was written in place.
   */
  quick?: boolean;
}

export interface ScanDeps {
  catalog: Catalog;
  inside<T>(work: (bucket: BucketDir) => T): T;
  /** Gets the findings; the entries that were looked at without one are `seen - findings`. */
  take(findings: readonly Finding[], seen: number): void;
  /** Neither there nor gone: a directory that the bucket's owner may not read, what cannot be read at all. */
  failed(key: KeyBytes, reason: string): void;
  /** A filesystem is mounted at this directory: told before anything in it is taken. */
  mounted(dir: DirBytes): void;
}

export interface Scan {
  /** Works for about so many milliseconds. @returns whether it is at its end */
  step(ms: number): boolean;
  /** Entries looked at so far. */
  readonly seen: number;
  /** Gives up: closes what is open. */
  stop(): void;
}

/** A directory that changed so recently may change again without its times showing it. */
const RACY_NS = 3_000_000_000n;
const BATCH = 200;

export function createScan({ catalog, inside, take, failed, mounted }: ScanDeps, target: ScanTarget): Scan {
  const { prefix = target.dir, shallow = false, quick = false } = target;
  // Nothing has such a name, and the catalog can ask for none.
  const waiting: DirBytes[] = target.dir.length > maxKeyBytes ? [] : [target.dir];
  let current: { dir: DirBytes; look: Generator<Glance, DirectoryLook>; clean: boolean } | undefined;
  /** Directories of which everything is known, to be written down together. */
  const clean: [DirBytes, DirectoryEntry][] = [];
  let seen = 0;

  /** Whether what stands under this name in `dir`, or below it, can begin with the prefix. */
  const wantedIn = (dir: DirBytes) => {
    if (dir.length >= prefix.length) return () => true;
    const rest = prefix.slice(dir.length);
    return (item: string) => (item.endsWith('/') && rest.startsWith(item)) || item.startsWith(rest);
  };

  const unchanged = (dir: DirBytes): boolean => {
    const known = catalog.directory(dir);
    if (!known || known.mtimeNs === 0n) return false;
    const now = inside((bucket) => statDirectory(bucket, dir));
    return now !== undefined && isSame(known, now);
  };

  function begin(dir: DirBytes): void {
    if (quick && unchanged(dir)) {
      if (!shallow) descend(dir, catalog.subdirectories(dir));
      return;
    }
    // The generator opens the directory at its first step, which is made right here, inside.
    inside((bucket) => {
      const look = lookAtDirectory(bucket, catalog, dir, wantedIn(dir));
      current = { dir, look, clean: true };
      advance(current);
    });
  }

  function advance(at: NonNullable<typeof current>): void {
    const { done, value } = at.look.next();
    if (!done) {
      seen += value.seen;
      if (value.findings.length > 0 || value.failed) at.clean = false;
      // Not here, where the thread acts as the bucket's owner.
      glances.push([at.dir, value]);
      return;
    }
    current = undefined;
    ended.push([at, value]);
  }
  const glances: [DirBytes, Glance][] = [];
  const ended: [NonNullable<typeof current>, DirectoryLook][] = [];

  function settle(): void {
    for (const [dir, glance] of glances.splice(0)) {
      if (glance.mounted) mounted(dir);
      for (const [name, reason] of glance.failed ?? []) failed(dir + name, reason);
      take(glance.findings, glance.seen);
    }
    for (const [{ dir, clean: isClean }, look] of ended.splice(0)) end(dir, isClean, look);
  }

  function end(dir: DirBytes, isClean: boolean, look: DirectoryLook): void {
    if (look.failure !== undefined) {
      failed(dir, look.failure);
      return;
    }
    if (!look.entry) {
      if (!catalog.holds(dir)) catalog.commit({ directories: [[dir, undefined]] });
      return;
    }
    const there = new Set(look.subdirectories);
    // As long as its objects are known, by it alone a look finds that they are gone: this one may be a dry run.
    const isForgotten = (name: string): boolean => !there.has(name) && !catalog.holds(dir + name);
    const gone = dir.length < prefix.length ? [] : catalog.subdirectories(dir).filter(isForgotten);
    const fresh = look.subdirectories.filter((name) => catalog.directory(dir + name) === undefined);
    const own = catalog.directory(dir) === undefined ? [dir] : [];
    // Known before anything in them is: so that their going is noticed.
    if (fresh.length + gone.length + own.length > 0) {
      catalog.commit({
        directories: [
          ...gone.map((name) => [dir + name, undefined] as const),
          ...[...own, ...fresh.map((name) => dir + name)].map((each) => [each, unlooked] as const),
        ],
      });
    }
    const settled = BigInt(Date.now()) * 1_000_000n - look.entry.ctimeNs > RACY_NS;
    if (isClean && settled && dir.length >= prefix.length && !isSame(catalog.directory(dir), look.entry)) {
      clean.push([dir, look.entry]);
    }
    if (clean.length >= BATCH) flush();
    if (!shallow) descend(dir, look.subdirectories);
  }

  function descend(dir: DirBytes, names: readonly string[]): void {
    for (let i = names.length - 1; i >= 0; i--) waiting.push(dir + names[i]!);
  }

  function flush(): void {
    if (clean.length > 0) catalog.commit({ directories: clean.splice(0) });
  }

  return {
    step(ms) {
      const until = performance.now() + ms;
      do {
        const dir = current ? undefined : waiting.pop();
        if (current) inside(() => advance(current!));
        else if (dir !== undefined) begin(dir);
        else {
          flush();
          return true;
        }
        settle();
      } while (performance.now() < until);
      return false;
    },
    get seen() {
      return seen;
    },
    stop() {
      current?.look.return(undefined as never);
      current = undefined;
      waiting.length = 0;
    },
  };
}

const isSame = (known: DirectoryEntry | undefined, now: DirectoryEntry): boolean =>
  known?.ino === now.ino && known.mtimeNs === now.mtimeNs && known.ctimeNs === now.ctimeNs;

/** There, but not looked at: no times that could be found unchanged. */
export const unlooked: DirectoryEntry = { ino: 0n, mtimeNs: 0n, ctimeNs: 0n };
