/** A directory tree whose changes are written into changelogs as an MDT would write them; read through `test/fixtures/lfs.sh`. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../support/temp.js';

const types =
  'MARK CREAT MKDIR HLINK SLINK MKNOD UNLNK RMDIR RENME RNMTO OPEN CLOSE LYOUT TRUNC SATTR XATTR HSM MTIME CTIME ATIME MIGRT FLRW RESYNC GXATR NOPEN'.split(
    ' ',
  );
export const NO_FID = '[0:0x0:0x0]';

export interface Lustre {
  mount: string;
  /** Arguments for `createChangelog`. */
  command: string[];
  /** Paths are relative to the mount, bytes as latin1. */
  fid(path: string): string;
  /** Writes a record: `rest` is what follows `t=[…]`, with a space before it. Returns its number. */
  record(type: string, target: string, rest?: string, mdt?: string): number;
  /** Skips numbers, as when somebody else has cleared the records. */
  skip(count: number, mdt?: string): void;
  mkdir(path: string, mdt?: string): void;
  /** Creates or overwrites. */
  write(path: string, text: string, mdt?: string): void;
  rename(from: string, to: string, mdt?: string): void;
  link(from: string, to: string): void;
  symlink(to: string, path: string): void;
  unlink(path: string): void;
  rmdir(path: string): void;
  /** Number up to which the MDT's records are cleared. */
  cleared(mdt?: string): number;
  /** Number of the last record. */
  last(mdt?: string): number;
  mode(how: '' | 'fail' | 'hang' | 'old' | 'cut'): void;
}

/** The stand-in for `lfs`. */
export const lfs = ['/bin/sh', join(process.cwd(), 'test/fixtures/lfs.sh')];

export const MDT0 = 'test-MDT0000';
export const MDT1 = 'test-MDT0001';

export function lustre(): Lustre {
  const mount = tempDir('tidegate-lustre-');
  const home = tempDir('tidegate-lfs-');
  process.env['LFS_STANDIN'] = home;
  const numbers = new Map<string, number>();
  const at = (path: string): Buffer => Buffer.from(`${mount}/${path}`.replace(/\/$/, ''), 'latin1');
  const split = (path: string): { parent: string; name: string } => {
    const slash = path.lastIndexOf('/');
    return { parent: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) };
  };
  const common = ' j=cp.0 ef=0xf u=1000:1000 nid=10.128.11.159@tcp';

  const self: Lustre = {
    mount,
    command: lfs,
    fid: (path) => `[0x200000400:0x${lstatSync(at(path), { bigint: true }).ino.toString(16)}:0x0]`,
    record(type, target, rest = '', mdt = MDT0) {
      const index = (numbers.get(mdt) ?? 0) + 1;
      numbers.set(mdt, index);
      const [date, clock] = new Date().toISOString().slice(0, -1).split('T');
      const number = String(types.indexOf(type)).padStart(2, '0');
      const text = `${index} ${number}${type.padEnd(5)} ${clock}000000 ${date!.replaceAll('-', '.')} 0x0 t=${target}${rest}`;
      mkdirSync(join(home, mdt), { recursive: true });
      // A record is there as a whole or not at all.
      const file = join(home, `${mdt}.new`);
      writeFileSync(file, `${text}\n`, 'latin1');
      writeFileSync(join(home, `${mdt}.last`), `${index}\n`);
      renameSync(file, join(home, mdt, String(1_000_000_000 + index)));
      return index;
    },
    skip(count, mdt = MDT0) {
      numbers.set(mdt, (numbers.get(mdt) ?? 0) + count);
    },
    mkdir(path, mdt) {
      const { parent, name } = split(path);
      mkdirSync(at(path));
      self.record('MKDIR', self.fid(path), `${common} p=${self.fid(parent)} ${name}`, mdt);
    },
    write(path, text, mdt) {
      const { parent, name } = split(path);
      const isNew = !existsSync(at(path));
      writeFileSync(at(path), text);
      if (isNew) self.record('CREAT', self.fid(path), `${common} p=${self.fid(parent)} ${name}`, mdt);
      self.record('CLOSE', self.fid(path), common, mdt);
    },
    rename(from, to, mdt) {
      const [source, target] = [split(from), split(to)];
      const replaced = existsSync(at(to)) ? self.fid(to) : NO_FID;
      const moved = self.fid(from);
      renameSync(at(from), at(to));
      const fields = ` p=${self.fid(target.parent)} ${target.name} s=${moved} sp=${self.fid(source.parent)} ${source.name}`;
      self.record('RENME', replaced, common + fields, mdt);
    },
    link(from, to) {
      const { parent, name } = split(to);
      linkSync(at(from), at(to));
      self.record('HLINK', self.fid(to), `${common} p=${self.fid(parent)} ${name}`);
    },
    symlink(to, path) {
      const { parent, name } = split(path);
      symlinkSync(to, at(path));
      self.record('SLINK', self.fid(path), `${common} p=${self.fid(parent)} ${name}`);
    },
    unlink(path) {
      const { parent, name } = split(path);
      const fid = self.fid(path);
      unlinkSync(at(path));
      self.record('UNLNK', fid, `${common} p=${self.fid(parent)} ${name}`);
    },
    rmdir(path) {
      const { parent, name } = split(path);
      const fid = self.fid(path);
      rmSync(at(path), { recursive: true });
      self.record('RMDIR', fid, `${common} p=${self.fid(parent)} ${name}`);
    },
    cleared(mdt = MDT0) {
      const file = join(home, `${mdt}.cleared`);
      return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    },
    last: (mdt = MDT0) => numbers.get(mdt) ?? 0,
    mode: (how) => writeFileSync(join(home, 'mode'), how),
  };
  return self;
}
