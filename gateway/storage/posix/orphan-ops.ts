/**
 * Overflow files, sidecars and bodies whose file or directory is gone: a crash between two steps left them, or a job's `rm`.
 * What a hashing thread does for `sync/orphans.ts`.
 *
 * The inode number is in the name. That nothing has it any more is believed only after a look at every entry of the bucket.
 */
import { randomBytes } from 'node:crypto';
import { NEW } from '../../../acl/metadata/sidecar.js';
import { reservedSegment } from '../keys.js';
import { as } from './identity.js';
import { newLaneId } from './lane-ids.js';
import { isDirectory } from './lookup.js';
import { type BucketDir, type Ground, withBucket } from './paths.js';
import {
  AT_SYMLINK_NOFOLLOW,
  clockGettime,
  close,
  E,
  errnoError,
  getdents64,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  parseEntries,
  RESOLVE_INSIDE,
  rawPath,
  readEntries,
  type Stat,
  tryLinkat,
  tryOpenat2,
  tryRenameat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';

/** Where such files lie. */
export type OrphanArea = 'meta' | 'bodies';
export const orphanAreas: readonly OrphanArea[] = ['meta', 'bodies'];

export interface Candidate {
  name: string;
  /** Of the file or directory that it belongs to. */
  ino: bigint;
}

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const SIDECAR = /^i(\d{1,20})(?:-[0-9a-f]+)*$/;

const inodeOf = (name: string): bigint | undefined => {
  if (/^[0-9a-f]{32}$/.test(name)) return BigInt(`0x${name.slice(0, 16)}`);
  const digits = SIDECAR.exec(name)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
};

const listings = new Map<number, number>();
const buffer = Buffer.allocUnsafeSlow(64 << 10);

/** As the one to whom `.tidegate` belongs, whoever works in the bucket. */
const asKeeper = <T>(ground: Ground, work: (bucket: BucketDir) => T): T =>
  withBucket(ground, 'service', (bucket) => {
    const own = as(undefined, () => tryStatat(bucket.fd, reservedSegment, AT_SYMLINK_NOFOLLOW));
    return own ? as({ uid: own.uid, gid: own.gid, groups: [] }, () => work(bucket)) : work(bucket);
  });

const isOld = ({ mtimeNs, ctimeNs }: Stat, ageMs: number): boolean =>
  clockGettime() - (mtimeNs > ctimeNs ? mtimeNs : ctimeNs) > BigInt(Math.round(ageMs)) * 1_000_000n;

export const orphanOps = {
  /** Begins to read an area; the id is of this lane. Undefined: there is none. */
  orphanOpen(ground: Ground, area: OrphanArea): number | undefined {
    return asKeeper(ground, (bucket) => {
      const fd = tryOpenat2(bucket.fd, `${reservedSegment}/${area}`, DIRECTORY, 0, RESOLVE_INSIDE);
      if (fd === -E.ENOENT) return undefined;
      if (fd < 0) throw errnoError(-fd, 'openat2');
      const id = newLaneId();
      listings.set(id, fd);
      return id;
    });
  },

  /** The next files of an area that belong to something; undefined at the end, where it is closed. */
  orphanNext(id: number): Candidate[] | undefined {
    const fd = listings.get(id);
    if (fd === undefined) return undefined;
    const used = getdents64(fd, buffer);
    const found: Candidate[] = [];
    parseEntries(buffer, used, (name) => {
      const ino = inodeOf(name);
      if (ino !== undefined) found.push({ name, ino });
    });
    if (used > 0) return found;
    listings.delete(id);
    close(fd);
    return undefined;
  },

  orphanClose(id: number): void {
    const fd = listings.get(id);
    listings.delete(id);
    if (fd !== undefined) close(fd);
  },

  /** Those of the names that nobody has touched for so long. */
  orphanOld(ground: Ground, area: OrphanArea, names: readonly string[], ageMs: number): string[] {
    return asKeeper(ground, (bucket) =>
      names.filter((name) => {
        const stat = tryStatat(bucket.area(area), name, AT_SYMLINK_NOFOLLOW);
        return stat !== undefined && isOld(stat, ageMs);
      }),
    );
  },

  /**
   * Looks at the entries of some directories (bytes; '' is the bucket's own), as the gateway itself.
   * @param inos those of interest @param entries more directories are left for the next call after so many
   * @returns which of them are there, and which directories are still to be looked into
   * Throws when a directory cannot be read or has moved: then nothing is known of what is in it.
   */
  orphanLook(
    ground: Ground,
    directories: readonly string[],
    inos: ReadonlySet<bigint>,
    entries: number,
  ): { seen: bigint[]; directories: string[] } {
    return withBucket(ground, 'service', (bucket) => {
      const waiting = [...directories];
      const seen = new Set<bigint>();
      let looked = 0;
      for (let path = waiting.pop(); path !== undefined; path = looked < entries ? waiting.pop() : undefined) {
        const fd = tryOpenat2(bucket.fd, path === '' ? '.' : rawPath(path), DIRECTORY, 0, RESOLVE_INSIDE);
        if (fd < 0) throw errnoError(-fd, 'openat2');
        try {
          for (const { name } of readEntries(fd)) {
            looked++;
            if (path === reservedSegment && (name === 'meta' || name === 'locks')) continue;
            const stat = tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
            if (!stat) continue;
            if (inos.has(stat.ino)) seen.add(stat.ino);
            if (isDirectory(stat)) waiting.push(path === '' ? name : `${path}/${name}`);
          }
        } finally {
          close(fd);
        }
      }
      return { seen: [...seen], directories: waiting };
    });
  },

  /** Removes files of an area that are still old; answers how many. */
  orphanRemove(ground: Ground, area: OrphanArea, names: readonly string[], ageMs: number): number {
    return asKeeper(ground, (bucket) => {
      const directory = bucket.area(area);
      return names.filter((name) => {
        const stat = tryStatat(directory, name, AT_SYMLINK_NOFOLLOW);
        if (!stat || !isOld(stat, ageMs)) return false;
        // The other names are random and are never given again.
        return SIDECAR.test(name) ? dropSidecar(directory, name, stat.ino) : tryUnlinkat(directory, name) === 0;
      }).length;
    });
  },
};

/**
 * A new file may get the inode number, and with it the sidecar's name, at this very moment: so it is moved aside, and moved
 * back when it turns out to be another one.
 */
export const dropSidecar = (directory: number, name: string, ino: bigint): boolean => {
  const aside = `${NEW}${randomBytes(16).toString('hex')}`;
  if (tryRenameat2(directory, name, directory, aside) < 0) return false;
  const taken = tryStatat(directory, aside, AT_SYMLINK_NOFOLLOW)?.ino === ino;
  // A link does not replace what was written meanwhile.
  if (!taken && tryLinkat(directory, aside, directory, name) === -E.EPERM)
    tryRenameat2(directory, aside, directory, name);
  return tryUnlinkat(directory, aside) === 0 && taken;
};
