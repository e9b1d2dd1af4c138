/** Where FIDs are: `lfs fid2path`, remembered for directories. */
import { type ChangelogRecord, type Fid, meaningOf } from './changelog-record.js';
import type { Lfs } from './lfs.js';

export interface FidPaths {
  /**
   * Paths of all directories and files that the records speak of, as they are now: every record lies behind us, so what was
   * renamed or removed in them is forgotten first. A FID that is not there any more has none.
   */
  resolve(lfs: Lfs, records: readonly ChangelogRecord[]): Promise<(fid: Fid) => readonly string[]>;
}

/** @param most directories that are remembered */
export function fidPaths(most = 20_000): FidPaths {
  const known = new Map<Fid, string>();

  const remember = (fid: Fid, path: string): void => {
    known.delete(fid);
    known.set(fid, path);
    // The one that was asked for longest ago.
    if (known.size > most) known.delete(known.keys().next().value!);
  };

  const isWithin = (path: string, moved: ReadonlySet<string>): boolean => {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (moved.has(path.slice(0, end))) return true;
    }
    return false;
  };

  return {
    async resolve(lfs, records) {
      const parents = new Set<Fid>();
      const files = new Set<Fid>();
      const made = new Set<Fid>();
      for (const { type, target, parent, sources } of records) {
        const meaning = meaningOf(type);
        if (meaning === 'none' || meaning === 'mark') continue;
        if (parent) parents.add(parent);
        for (const source of sources) if (source.parent) parents.add(source.parent);
        if (meaning === 'tree') {
          if (target) known.delete(target);
          for (const { fid } of sources) if (fid) known.delete(fid);
        }
        if (!target) continue;
        // A file made here has no other name than those told here.
        if (type === 'CREAT' || type === 'MKNOD') made.add(target);
        if (meaning === 'content' && !made.has(target)) files.add(target);
      }
      const fresh = new Map<Fid, string | undefined>();
      for (;;) {
        const missing = [...parents].filter((fid) => !fresh.has(fid) && !known.has(fid));
        if (missing.length > 0) {
          const found = await lfs.paths(missing, true);
          for (const fid of missing) fresh.set(fid, found.get(fid)?.[0]);
        }
        const where = (fid: Fid | undefined) => (fid === undefined ? undefined : (fresh.get(fid) ?? known.get(fid)));
        // Paths that were remembered below a directory's old name are no longer true.
        const moved = new Set<string>();
        for (const { type, parent, name, sources } of records) {
          if (meaningOf(type) !== 'tree') continue;
          for (const place of [{ parent, name }, ...sources]) {
            const above = where(place.parent);
            // Without a name it may be any of that directory.
            if (above !== undefined) moved.add(place.name === undefined ? above : `${above}/${place.name}`);
          }
        }
        let again = false;
        for (const [fid, path] of moved.size > 0 ? known : []) {
          if (!isWithin(path, moved)) continue;
          known.delete(fid);
          again ||= parents.has(fid) && !fresh.has(fid);
        }
        if (!again) break;
      }
      for (const [fid, path] of fresh) if (path !== undefined) remember(fid, path);
      const links = files.size > 0 ? await lfs.paths([...files], false) : new Map<Fid, string[]>();
      // What is remembered may be pushed out by others of this very call.
      const result = new Map<Fid, readonly string[]>(links);
      for (const fid of parents) {
        const path = fresh.get(fid) ?? known.get(fid);
        if (path === undefined) continue;
        result.set(fid, [path]);
        if (!fresh.has(fid)) remember(fid, path);
      }
      return (fid) => result.get(fid) ?? [];
    },
  };
}
