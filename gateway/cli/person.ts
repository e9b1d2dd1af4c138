/** Who is at the terminal, and what the system knows about a uid: asked of NSS, so that LDAP users count too. */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { Complaint } from '../complaint.js';
import type { Actor } from '../storage/types.js';

const execute = promisify(execFile);

export interface Person {
  name: string;
  actor: Actor;
}

/** (uid_t)-1 and (gid_t)-1 mean "no change" to the kernel and are nobody's. */
const largestId = 0xffff_fffe;

/** What whoever gets an account must know of its user; '' when there is nothing to say. */
export const warningOf = ({ uid }: Actor): string =>
  uid === 0
    ? "note: the files of this account belong to root, and the kernel refuses root nothing: only S3's rules hold for it; " +
      "'s3dskey create --fsuid UID:GID' makes an account of another user\n"
    : '';

/** Reads one uid or gid. `what`: for the message. */
export function parseId(text: string, what: string): number {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(id) || id > largestId) throw new Complaint(`${what} takes a number, not ${JSON.stringify(text)}`, 2);
  return id;
}

/** Reads `10,20`; empty text is an empty list. */
export const parseIds = (text: string, what: string): number[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => parseId(part, what));

/** The groups of an actor, its own among them. */
export const withGroup = (gid: number, groups: readonly number[]): number[] =>
  [...new Set([gid, ...groups])].sort((a, b) => a - b);

/** Reads `UID:GID`. */
export function parseFsuid(text: string): { uid: number; gid: number } {
  const match = /^(\d{1,10}):(\d{1,10})$/.exec(text);
  const [uid, gid] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || uid > largestId || gid > largestId) {
    throw new Complaint(`--fsuid takes UID:GID as two numbers, such as 1000:1000, not ${JSON.stringify(text)}`, 2);
  }
  return { uid, gid };
}

/**
 * The person that an account is made for: of the uid and gid given, or the one who called the command, also through
 * sudo. Without an explicit gid, files go to the UNIX group `group` where the person is a member of one so called:
 * that is what group quotas charge.
 */
export async function personFor(fsuid: { uid: number; gid: number } | undefined, group?: string): Promise<Person> {
  const caller = fsuid ?? callingUser();
  const name = await nameOf(caller.uid);
  const groups = withGroup(caller.gid, await groupsOf(caller.uid, name));
  const charged = fsuid === undefined && group !== undefined ? await gidOf(group) : undefined;
  const gid = charged !== undefined && groups.includes(charged) ? charged : caller.gid;
  return { name: name ?? String(caller.uid), actor: { uid: caller.uid, gid, groups } };
}

/** The person of a login, as the system knows it now: local files, LDAP, SSSD. */
export async function personOf(login: string): Promise<Person> {
  // A number would be taken for a uid, which need not be the login's.
  if (!/^[^\s:\p{Cc}-][^\s:\p{Cc}]{0,255}$/u.test(login) || /^\+?\d+$/.test(login)) {
    throw new Complaint(`--user takes the login of a user, not ${JSON.stringify(login)}`, 2);
  }
  const [uid, gid, groups] = await Promise.all(['-u', '-g', '-G'].map((which) => ask('id', [which, '--', login])));
  if (uid === undefined || gid === undefined || groups === undefined) {
    throw new Complaint(`the system does not know the user ${login} ('id ${login}' tells what it knows)`);
  }
  const actor = { uid: parseId(uid, 'id -u'), gid: parseId(gid, 'id -g') };
  const ids = groups.split(/\s+/).map((part) => parseId(part, 'id -G'));
  return { name: login, actor: { ...actor, groups: withGroup(actor.gid, ids) } };
}

function callingUser(): { uid: number; gid: number } {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const sudo = `${process.env['SUDO_UID']}:${process.env['SUDO_GID']}`;
  // Anybody can set the variables; only under root do they say who called sudo.
  return uid === 0 && /^\d{1,10}:\d{1,10}$/.test(sudo) ? parseFsuid(sudo) : { uid, gid };
}

async function nameOf(uid: number): Promise<string | undefined> {
  const entry = await ask('getent', ['passwd', String(uid)]);
  if (entry !== undefined) return entry.split(':')[0];
  try {
    if (uid === process.getuid?.()) return userInfo().username;
  } catch {
    // A uid without an entry, as containers have them.
  }
  return undefined;
}

async function groupsOf(uid: number, name: string | undefined): Promise<number[]> {
  if (uid === process.getuid?.()) return process.getgroups?.() ?? [];
  if (name === undefined) return [];
  return ((await ask('id', ['-G', '--', name])) ?? '')
    .split(/\s+/)
    .filter((part) => part !== '')
    .map(Number);
}

async function gidOf(group: string): Promise<number | undefined> {
  const entry = await ask('getent', ['group', '--', group]);
  const gid = Number(entry?.split(':')[2]);
  // getent takes a number for a gid; a group called 100 is not meant by it.
  return entry?.split(':')[0] === group && Number.isInteger(gid) ? gid : undefined;
}

/** The first line of what a program says; undefined when it fails or is not there. */
async function ask(program: string, args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await execute(program, args, { timeout: 10_000 });
    return stdout.split('\n')[0]?.trim() || undefined;
  } catch {
    return undefined;
  }
}
