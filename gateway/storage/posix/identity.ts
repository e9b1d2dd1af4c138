/**
 * As whom this thread touches files. Linux keeps fsuid, fsgid and the supplementary groups per thread; the raw system
 * calls change the calling thread only (credentials(7)), so every worker wears the identity of the request it serves.
 *
 * Only for worker threads that make synchronous calls: libuv's own threads keep the identity of the main thread.
 */
import { S3Error } from '../../errors.js';
import type { Actor } from '../types.js';
import { setfsgid, setfsuid, setgroups } from './syscalls.js';

const ownUid = process.geteuid?.() ?? -1;
const ownGid = process.getegid?.() ?? -1;
const ownGroups = process.getgroups?.() ?? [];

/**
 * The supplementary groups that make a difference: the kernel looks for the fsgid as well ("Check whether we're in
 * fsgid/supplemental group", kernel/groups.c). Most have no others, and then setgroups, a fifth of a switch and back, is not needed.
 */
const besides = (gid: number, groups: readonly number[]): number[] => groups.filter((group) => group !== gid);

/** Whether this process can act as others: only when it was started as root. */
export const canSwitch = ownUid === 0;

export const actorKey = (actor: Actor | undefined): string =>
  actor === undefined ? '' : `${actor.uid}:${actor.gid}:${actor.groups.join(',')}`;

/** Somebody whom this thread has been. */
interface Known {
  number: number;
  /** Those that are set, and as text. */
  groups: readonly number[];
  groupsText: string;
}

let current: string | undefined = '';
/** The supplementary groups that this thread has, as text. Not known at first: Node's list has the egid, the kernel's may not. */
let currentGroups: string | undefined;
let worn: Actor | undefined;
const known = new Map<string, Known>();

const knownAs = (key: string, gid: number, all: readonly number[]): Known => {
  let found = known.get(key);
  if (!found) {
    const groups = besides(gid, all);
    known.set(key, (found = { number: known.size, groups, groupsText: groups.join() }));
  }
  return found;
};
let { number } = knownAs('', ownGid, ownGroups);

/**
 * Makes this thread access files as `actor`; undefined is the gateway itself. Nothing happens when it does already, or
 * when the process has only its own identity. Throws when the kernel refuses: then nothing may be touched.
 */
export const become = (actor: Actor | undefined): void => {
  const wanted = actorKey(actor);
  if (wanted === current) return;
  const uid = actor?.uid ?? ownUid;
  const gid = actor?.gid ?? ownGid;
  const { groups, groupsText, ...as } = knownAs(wanted, gid, actor?.groups ?? ownGroups);
  if (canSwitch) {
    // Should anything below fail, the identity is a mixture: forget it, so that the next call sets all three again.
    current = undefined;
    // Leaving fsuid 0 drops the file capabilities, returning to it restores them; setgroups needs CAP_SETGID, which stays.
    if (groupsText !== currentGroups) {
      currentGroups = undefined;
      setgroups(groups);
      currentGroups = groupsText;
    }
    setfsgid(gid);
    setfsuid(uid);
    // "setfsuid() returns the previous value whether the call succeeds or not": only asking again tells.
    if (setfsuid(-1) !== uid || setfsgid(-1) !== gid) {
      throw new S3Error('InternalError', { message: `The gateway is not allowed to act as uid ${uid}, gid ${gid}.` });
    }
  }
  current = wanted;
  worn = actor;
  number = as.number;
};

/** As whom this thread works at the moment, in short: the same for the same actor. */
export const actingNumber = (): number => number;

/** The same in full, for other threads too. Of a mixture: what nobody is. */
export const actingAs = (): string => current ?? '-';

/** As whom this thread works at the moment; undefined is the gateway itself. */
export const acting = (): Actor | undefined => worn;

/** The group of what this thread makes. */
export const effectiveGid = (): number => (canSwitch && worn ? worn.gid : ownGid);

/** Runs `work` as somebody else, and is who it was again, whatever happens. */
export const as = <T>(actor: Actor | undefined, work: () => T): T => {
  const before = worn;
  try {
    // Also when this fails half-way: whoever catches that must not go on with the groups of the one and the uid of the other.
    become(actor);
    return work();
  } finally {
    become(before);
  }
};
