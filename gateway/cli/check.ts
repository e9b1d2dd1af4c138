/** `tidegate check`: what a filesystem offers. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Complaint, reasonOf } from '../complaint.js';
import { loadConfig } from '../config.js';
import { type ProbeResult, probe } from '../storage/posix/probe.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

export function addCheckCommand(program: Command): void {
  example(
    subCommand(program, 'check [DIR]', 'tell what the filesystem of a directory (default: the root) offers').action(
      async (dir: string | undefined, _: unknown, command: Command) => check(dir, command.optsWithGlobals()),
    ),
    'tidegate check /sqfs/s3',
  );
}

async function check(dir: string | undefined, options: CommonOptions): Promise<void> {
  const path = dir ?? (await loadConfig({ flags: { root: options.root }, file: options.config })).root;
  let found: ProbeResult;
  try {
    found = probe(resolve(path));
  } catch (error) {
    throw new Complaint(`cannot check ${path}: ${reasonOf(error)}`, 1, error);
  }
  print(options, found, table(rows(found), ['What', 'Found', 'Meaning']));
  if (!found.writable) throw new Complaint(`cannot write in ${path} (${found.reason ?? 'EIO'}): the rest is unknown`);
}

function rows(found: ProbeResult): string[][] {
  const { who, xattr, clock, space } = found;
  const yes = (value: boolean) => (value ? 'yes' : 'no');
  const feature = (name: string, there: boolean, good: string, without: string) => [
    name,
    yes(there),
    there ? good : without,
  ];
  const about = [
    ['directory', found.directory, ''],
    ['filesystem', found.filesystem, `${gib(space.availableBytes)} of ${gib(space.totalBytes)} GiB free`],
    [
      'we are',
      `${who.uid}:${who.gid}`,
      who.canSwitch ? "files are accessed as the buckets' owners" : 'every file is accessed as this user',
    ],
    ['writable', yes(found.writable), found.reason ?? ''],
  ];
  if (!found.writable) return about;
  return [
    ...about,
    xattr.supported
      ? ['user attributes', `${xattr.maxBytes} bytes`, 'S3 metadata lies with the file, larger values beside it']
      : ['user attributes', 'no', 'S3 metadata goes to sidecar files'],
    feature('openat2', found.openat2, 'paths cannot leave a bucket', 'needs Linux 5.6: Tidegate does not run here'),
    feature('hard links', found.hardLinks, 'create-only writes are atomic', 'create-only writes take a lock'),
    feature('flock', found.flock, 'gateways keep out of each other’s way', 'run one gateway only on this root'),
    feature('O_TMPFILE', found.tmpfile, '', 'named temporary files do as well'),
    feature('RENAME_NOREPLACE', found.renameNoReplace, '', 'hard links do as well'),
    feature('RENAME_EXCHANGE', found.renameExchange, '', 'not needed'),
    feature('copy_file_range', found.copyFileRange, 'copies stay in the kernel', 'copies go through the gateway'),
    feature('reflink', found.reflink, 'copies share their blocks', 'copies take space of their own'),
    feature('case sensitive', found.caseSensitive, '', 'keys that differ in case only are one file'),
    [
      'clock',
      clock.multigrain ? 'multigrain' : `${clock.granularityNs / 1e6} ms`,
      `an mtime is kept in steps of ${clock.mtimeStepNs} ns`,
    ],
  ];
}

const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
