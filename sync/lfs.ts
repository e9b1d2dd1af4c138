/** Lustre's `lfs` program: its calls that the changelog needs, with time limits. It may fail, hang or be missing. */
import { spawn } from 'node:child_process';
import { beginsRecord, type ChangelogRecord, type Fid, splitRecords } from './changelog-record.js';

export interface LfsOptions {
  /** The program and its first arguments. */
  command: readonly string[];
  /** Where the filesystem is mounted. */
  mount: string;
  /** A call that takes longer is killed. */
  timeoutMs: number;
}

export interface Lfs {
  /** Records from `from` on, at most `limit` of them; `ended`: there are no more. */
  changelog(mdt: string, from: number, limit: number): Promise<{ records: ChangelogRecord[]; ended: boolean }>;
  /** Tells the MDT that `user` needs the records up to `index` no more. */
  clear(mdt: string, user: string, index: number): Promise<void>;
  /**
   * Absolute paths, bytes as latin1. A FID that is not in the map is not there any more.
   * @param directories the FIDs are of directories, which have one path; a file has one for each of its links
   */
  paths(fids: readonly Fid[], directories: boolean): Promise<Map<Fid, string[]>>;
}

interface Output {
  code: number | null;
  stdout: string;
  stderr: string;
  /** It was ended because there was enough. */
  cut: boolean;
}

const AT_ONCE = 200;
const LONGEST_ERROR = 4_096;

export function createLfs({ command, mount, timeoutMs }: LfsOptions): Lfs {
  // Who hangs in the kernel dies of no signal. One of them is enough.
  let stuck = false;

  const run = (args: readonly string[], enough?: (output: string) => boolean): Promise<Output> =>
    new Promise((resolve, reject) => {
      const shown = `lfs ${args.slice(0, 3).join(' ')}`;
      if (stuck) return reject(new Error(`${shown}: an earlier call still hangs`));
      const [program, ...first] = command as [string, ...string[]];
      const env = { ...process.env, LC_ALL: 'C' };
      const child = spawn(program, [...first, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
      const chunks: string[] = [];
      let stderr = '';
      let cut = false;
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        stuck = true;
        child.kill('SIGKILL');
        child.stdout.destroy();
        child.stderr.destroy();
        reject(new Error(`${shown}: not finished after ${timeoutMs} ms`));
      }, timeoutMs);
      child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
        chunks.push(chunk);
        if (cut || !enough?.(chunk)) return;
        cut = true;
        child.kill('SIGTERM');
      });
      child.stderr.setEncoding('latin1').on('data', (chunk: string) => {
        if (stderr.length < LONGEST_ERROR) stderr += chunk;
      });
      child.on('error', (error) => {
        clearTimeout(timer);
        reject(new Error(`${shown}: ${error.message}`, { cause: error }));
      });
      child.on('close', (code) => {
        clearTimeout(timer);
        if (late) stuck = false;
        resolve({ code, stdout: chunks.join(''), stderr: stderr.trim(), cut });
      });
    });

  const failed = (what: string, { code, stderr }: Output): Error =>
    new Error(`lfs ${what}: exit code ${code}${stderr && `, ${stderr}`}`);

  /** The paths of one FID. Its output cannot be taken for another's. */
  const pathsOfOne = async (fid: Fid, directory: boolean): Promise<string[]> => {
    const output = await run(['fid2path', mount, `[${fid}]`]);
    if (output.stdout === '') {
      if (output.code === 0 || vanished(output.stderr)) return [];
      throw failed(`fid2path ${fid}`, output);
    }
    const text = output.stdout.endsWith('\n') ? output.stdout.slice(0, -1) : output.stdout;
    if (directory) return [plain(text)];
    // A line that is no path belongs to the name before it.
    const paths: string[] = [];
    for (const line of text.split('\n')) {
      if (paths.length === 0 || line.startsWith('/')) paths.push(line);
      else paths[paths.length - 1] += `\n${line}`;
    }
    return paths.map(plain);
  };

  return {
    async changelog(mdt, from, limit) {
      let seen = 0;
      const enough = (chunk: string): boolean => {
        for (const line of chunk.split('\n')) if (beginsRecord(line)) seen++;
        // The last may be cut, and those at the borders of chunks are not counted.
        return seen > limit;
      };
      const output = await run(['changelog', mdt, String(from)], enough);
      if (!output.cut && output.code !== 0) throw failed(`changelog ${mdt}`, output);
      const records = splitRecords(output.stdout, !output.cut);
      return { records: records.slice(0, limit), ended: !output.cut && records.length <= limit };
    },
    async clear(mdt, user, index) {
      const output = await run(['changelog_clear', mdt, user, String(index)]);
      if (output.code !== 0) throw failed(`changelog_clear ${mdt} ${user} ${index}`, output);
    },
    async paths(fids, directories) {
      const found = new Map<Fid, string[]>();
      for (let at = 0; at < fids.length; at += AT_ONCE) {
        const some = fids.slice(at, at + AT_ONCE);
        const wanted = new Set<Fid>(some);
        let single: Iterable<Fid> = some;
        if (some.length > 1) {
          const output = await run(['fid2path', '-f', mount, ...some.map((fid) => `[${fid}]`)]);
          const { paths, doubtful } = byFid(output.stdout, wanted, directories);
          for (const [fid, its] of paths) found.set(fid, its);
          // Releases without `-f`, and failures that are not "No such file", are looked at one by one.
          const others = some.filter((fid) => !paths.has(fid));
          const clear = output.stderr.split('\n').every((line) => line === '' || vanished(line));
          single = clear && (output.code === 0 || output.stderr !== '') ? doubtful : others;
        }
        for (const fid of single) {
          const paths = await pathsOfOne(fid, directories);
          if (paths.length > 0) found.set(fid, paths);
        }
      }
      return found;
    },
  };
}

const vanished = (stderr: string): boolean => /No such file or directory|Stale file handle/.test(stderr);

const line = /^\[?((?:0x)?[0-9a-f]+:0x[0-9a-f]+:0x[0-9a-f]+)\]? (\/.*)$/s;

/** What `fid2path -f` says of each; `doubtful`: those of which a name with a newline may have said it. */
function byFid(
  output: string,
  wanted: Set<Fid>,
  directories: boolean,
): { paths: Map<Fid, string[]>; doubtful: Set<Fid> } {
  const paths = new Map<Fid, string[]>();
  const doubtful = new Set<Fid>();
  let last: Fid | undefined;
  for (const text of output.split('\n').slice(0, -1)) {
    const [, fid, path] = line.exec(text) ?? [];
    if (fid === undefined || !wanted.has(fid)) {
      if (last) doubtful.add(last);
      continue;
    }
    last = fid;
    const known = paths.get(fid);
    if (known && directories) doubtful.add(fid);
    else if (known) known.push(plain(path!));
    else paths.set(fid, [plain(path!)]);
  }
  for (const fid of doubtful) paths.delete(fid);
  return { paths, doubtful };
}

/**
 * Without slashes at the end (the root is printed as `/mnt//`) and without the name of a shard: a directory that is striped
 * over MDTs has some, `[0x240000402:0x1:0x0]:1`, which stand in no path.
 */
const plain = (path: string): string =>
  path.replace(/\/\[0x[0-9a-f]+:0x[0-9a-f]+:0x[0-9a-f]+\]:[0-9a-f]+$/, '').replace(/\/+$/, '');
