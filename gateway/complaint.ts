/**
 * Something that the person at the terminal has to put right: shown as one line, without a stack trace.
 * `exitCode` 2: the command or the configuration is wrong as given; 1: it was right, and could not be done; 130 and 143: it
 * was interrupted (128 and the number of the signal).
 */
export class Complaint extends Error {
  readonly exitCode: 1 | 2 | 130 | 143;

  constructor(message: string, exitCode: 1 | 2 | 130 | 143 = 1, cause?: unknown) {
    super(message, { cause });
    this.name = 'Complaint';
    this.exitCode = exitCode;
  }
}

const reasons: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EROFS: 'the filesystem is read-only',
  ENOSPC: 'no space left on the filesystem',
  EDQUOT: 'the disk quota is used up',
  EADDRINUSE: 'the address is in use already',
  EADDRNOTAVAIL: 'this machine has no such address',
};

/** The errno name of a failed system call, if the error is one. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Why something failed, in words: an errno spelt out, otherwise the error's own first line. */
export function reasonOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno !== undefined) return reasons[errno] ?? `${errno}`;
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
