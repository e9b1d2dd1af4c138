/**
 * The lines of `lfs changelog`. Pure. As `lfs_changelog()` of Lustre's lustre/utils/lfs.c prints them:
 *
 *     12 08RENME 04:24:09.779203918 2024.08.20 0x0 t=[0:0x0:0x0] j=mv.0 ef=0xf u=0:0 nid=0@lo
 *        p=[0x200000007:0x1:0x0] new name s=[0x2000013a1:0x1:0x0] sp=[0x200000007:0x1:0x0] old name
 *
 * (one line). Fields between `t=` and `p=` depend on the release and may be missing. Nothing is escaped: a name may hold
 * spaces, newlines and bytes that are no UTF-8, and even what looks like another record. So what a line says may be
 * forged by whoever names a file; `readBatch` of `changelog-read.ts` trusts no number because of this.
 */

/** `0x200000007:0x1:0x0`. */
export type Fid = string;

export interface ChangelogRecord {
  index: number;
  /** `CREAT`, `RENME`, … */
  type: string;
  /** `2024.08.20 04:24:09.779203918`: of the MDT's clock, in order as text. */
  time: string;
  /** Undefined where the record names none. */
  target: Fid | undefined;
  parent: Fid | undefined;
  /** Bytes as latin1. Undefined: not told, or not to be told apart from the rest of the line. */
  name: string | undefined;
  /** Where a rename took it from; more than one where a name makes that ambiguous. */
  sources: { fid: Fid | undefined; parent: Fid | undefined; name: string | undefined }[];
}

const FID = String.raw`\[((?:0x)?[0-9a-f]+:0x[0-9a-f]+:0x[0-9a-f]+)\]`;
const head = new RegExp(
  String.raw`^(\d{1,16}) \d\d([A-Z_0-9]+) +(\d\d:\d\d:\d\d\.\d+) (\d{4}\.\d\d\.\d\d) 0x[0-9a-f]+ t=${FID}`,
);
const extra = /^ ef=0x[0-9a-f]+(?: u=\d+:\d+)?(?: nid=\S+)?(?: m=[r-][w-][x-])?/;
const parentField = new RegExp(`^ p=${FID}`);
const anyParent = new RegExp(` p=${FID}`);
const sourceFields = new RegExp(` s=${FID} sp=${FID}(?: |$)`, 'g');

const fid = (text: string | undefined): Fid | undefined =>
  text === undefined || /^(?:0x)?0+:0x0+:0x0+$/.test(text) ? undefined : text;

/** Whether a line can be the first of a record. */
export const beginsRecord = (line: string): boolean => head.test(line);

/** @param text a record without its last newline, bytes as latin1. Undefined when it is none. */
export function parseRecord(text: string): ChangelogRecord | undefined {
  const found = head.exec(text);
  if (!found) return undefined;
  const [whole, index, type, clock, date, target] = found as unknown as string[];
  let rest = text.slice(whole!.length);
  // The name of a job may hold spaces ("tmux: server"): it ends where the next field begins.
  if (rest.startsWith(' j=')) {
    const end = / ef=0x[0-9a-f]+/.exec(rest) ?? anyParent.exec(rest);
    rest = end ? rest.slice(end.index) : '';
  }
  rest = rest.slice(extra.exec(rest)?.[0].length ?? 0);
  if (rest.startsWith(' x=')) {
    const end = anyParent.exec(rest);
    rest = end ? rest.slice(end.index) : '';
  }
  const parent = parentField.exec(rest);
  if (parent) rest = rest.slice(parent[0].length);
  const record: ChangelogRecord = {
    index: Number(index),
    type: type!,
    time: `${date} ${clock}`,
    target: fid(target),
    parent: fid(parent?.[1]),
    name: rest.startsWith(' ') ? rest.slice(1) : undefined,
    sources: [],
  };
  if (type !== 'RENME' && type !== 'MIGRT') return record;
  const matches = [...rest.matchAll(sourceFields)];
  const certain = matches.length === 1;
  for (const match of matches) {
    const name = certain ? rest.slice(match.index + match[0].length) : undefined;
    record.sources.push({ fid: fid(match[1]), parent: fid(match[2]), name: name || undefined });
  }
  if (matches.length > 0) record.name = certain ? rest.slice(1, matches[0]!.index) : undefined;
  return record;
}

/**
 * Records of what `lfs changelog` has printed. What begins no record belongs to the name before it.
 * @param ended whether that was all of it: else the last record may be cut, and is left out
 */
export function splitRecords(output: string, ended: boolean): ChangelogRecord[] {
  const texts: string[] = [];
  const lines = output.split('\n');
  // After the last newline comes nothing, or a line that is not complete.
  lines.pop();
  for (const line of lines) {
    if (texts.length === 0 || beginsRecord(line)) texts.push(line);
    else texts[texts.length - 1] += `\n${line}`;
  }
  if (!ended) texts.pop();
  return texts.map(parseRecord).filter((record) => record !== undefined);
}

/** Nothing that an object shows has changed. */
const idle = new Set(['OPEN', 'NOPEN', 'ATIME', 'GXATR']);
/** A name has come, gone or moved, perhaps with a tree below it. */
const trees = new Set(['MKDIR', 'RMDIR', 'RENME', 'RNMTO', 'MIGRT']);
const names = new Set([...trees, 'CREAT', 'HLINK', 'SLINK', 'MKNOD', 'UNLNK']);

/**
 * What a record means. `mark`: the changelog was switched on or off. `name`: the entry is to be looked at, `tree`: with all
 * below it. `content`: a file itself has changed, under all its names (CLOSE, LYOUT, TRUNC, SATTR, XATTR, HSM, MTIME,
 * CTIME, FLRW, RESYNC, and what later releases may bring).
 */
export const meaningOf = (type: string): 'none' | 'mark' | 'name' | 'tree' | 'content' => {
  if (type === 'MARK') return 'mark';
  if (idle.has(type)) return 'none';
  if (trees.has(type)) return 'tree';
  return names.has(type) ? 'name' : 'content';
};
