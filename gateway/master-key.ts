/** Where the master key comes from: the environment, or a file that the first start makes. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createSealer, fingerprint, newMasterKey, parseMasterKey, type Sealer } from './auth/credentials.js';
import { Complaint, errnoOf, reasonOf } from './complaint.js';
import type { Documents } from './storage/types.js';

export interface MasterKeySettings {
  root: string;
  /** Undefined: `<root>/.tidegate/master.key`. */
  masterKeyFile: string | undefined;
  /** The key itself, in base64 or hex. */
  masterKey: string | undefined;
}

/** Says which key the secrets of this root are sealed with; made with the first one. */
interface Mark {
  fingerprint: string;
}

/**
 * The sealer of this root. Makes the key file where none is and no secret has been sealed yet; safe when several
 * gateways do that at once. Throws a Complaint when the key is missing, unsafe, malformed or another root's.
 */
export async function openSealer(settings: MasterKeySettings, documents: Documents): Promise<Sealer> {
  const path = settings.masterKeyFile ?? join(settings.root, '.tidegate', 'master.key');
  const source = settings.masterKey === undefined ? path : 'TIDEGATE_MASTER_KEY';
  const text = settings.masterKey ?? (await readOrMake(path, documents));
  const key = parseMasterKey(text);
  if (key === undefined) throw new Complaint(`the master key in ${source} is not 32 bytes in base64 or hex`, 2);

  const mine: Mark = { fingerprint: fingerprint(key) };
  if (!(await documents.create('service', 'master-key', mine))) {
    const mark = await documents.get<Mark>('service', 'master-key');
    if (mark?.fingerprint !== mine.fingerprint) {
      throw new Complaint(
        `the master key in ${source} is not the one that the secrets under ${settings.root} were sealed with: ` +
          'give the right one by --master-key-file or TIDEGATE_MASTER_KEY',
        2,
      );
    }
  }
  return createSealer(key);
}

async function readOrMake(path: string, documents: Documents): Promise<string> {
  const found = await read(path);
  if (found !== undefined) return found;
  // The mark is written after the file. Where it stands and the file does not, the file was lost or is elsewhere, and
  // a new key would open nothing; but another gateway may have made both since we looked.
  if ((await documents.get('service', 'master-key')) === undefined) await make(path);
  const text = await read(path);
  if (text !== undefined) return text;
  throw new Complaint(
    `the master key file ${path} is missing, and secrets were sealed with it: restore it, ` +
      'or give the key by --master-key-file or TIDEGATE_MASTER_KEY',
    2,
  );
}

async function read(path: string): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new Complaint(`cannot read the master key file ${path}: ${reasonOf(error)}`, 1, error);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Complaint(`the master key file ${path} is not a regular file`, 2);
    if ((stat.mode & 0o077) !== 0) {
      throw new Complaint(
        `the master key file ${path} is open to others (mode ${(stat.mode & 0o7777).toString(8).padStart(4, '0')}): ` +
          `run chmod 600 '${path}', and replace the key if somebody may have read it`,
        2,
      );
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** Appears under its name whole and on disk, or not at all; whoever comes first wins. */
async function make(path: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(`${newMasterKey()}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await link(temporary, path);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
    // Losing the name in a crash after secrets were sealed would lose the secrets.
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    throw new Complaint(`cannot make the master key file ${path}: ${reasonOf(error)}`, 1, error);
  }
}
