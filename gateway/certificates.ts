/** The TLS certificate and key: read, checked, and read again when a renewal has replaced the files. */
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { watch } from 'chokidar';
import { Complaint, reasonOf } from './complaint.js';

export interface CertificateFiles {
  cert: string;
  key: string;
}

export type Certificate = Pick<SecureContextOptions, 'cert' | 'key'>;

/** Reads both; throws a Complaint when a file is unreadable or the key does not belong to the certificate. */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const cert = await read('certificate', files.cert);
  const key = await read('key', files.key);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Complaint(`${files.cert} and ${files.key} are no certificate with its key: ${reasonOf(error)}`, 2, error);
  }
  return { cert, key };
}

async function read(what: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new Complaint(`cannot read the TLS ${what} ${path}: ${reasonOf(error)}`, 2, error);
  }
}

export interface CertificateWatch {
  /** Reads the files now, as SIGHUP asks. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Hands each new certificate to `take`. Files that do not fit together (a renewal replaces them one after the other, or
 * went wrong) leave the old one in force and are told to `refuse`.
 */
export function watchCertificate(
  files: CertificateFiles,
  take: (certificate: Certificate) => void,
  refuse: (error: unknown) => void,
): CertificateWatch {
  let queue: Promise<void> = Promise.resolve();
  const reload = () => {
    // One after the other, so that an older reading never comes last.
    queue = queue.then(async () => {
      try {
        take(await readCertificate(files));
      } catch (error) {
        refuse(error);
      }
    });
    return queue;
  };

  let timer: NodeJS.Timeout | undefined;
  const watcher = watch([files.cert, files.key], {
    ignoreInitial: true,
    awaitWriteFinish: { stabilityThreshold: 200 },
  });
  watcher.on('all', () => {
    // The two files change together: one reading for both.
    clearTimeout(timer);
    timer = setTimeout(() => void reload(), 500);
  });
  watcher.on('error', refuse);

  return {
    reload,
    async close() {
      clearTimeout(timer);
      await watcher.close();
      await queue;
    },
  };
}
