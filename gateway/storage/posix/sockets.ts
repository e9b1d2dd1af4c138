/** System calls on a connection that Node serves, for a worker that reads from it or writes to it as well. */
import { bind, nr, outcome } from './libc.js';

const n2 = bind(', long a, long b');
const n3 = bind(', long a, long b, long c');
const sendRaw = bind(', long fd, void *bytes, long length, long flags, void *address, long size');
const receiveRaw = bind(', long fd, void *bytes, long length, long flags, void *address, void *size');
const ppollRaw = bind(', void *fds, long count, void *time, void *mask, long size');

const F_DUPFD_CLOEXEC = 1030;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_RDWR = 2;
const POLLIN = 1;
const POLLOUT = 4;

/** Another descriptor of the same connection, that stays whatever becomes of `fd`; -errno when there is none (EMFILE). */
export const tryDuplicate = (fd: number): number => outcome(n3(nr.fcntl, fd, F_DUPFD_CLOEXEC, 0));

/**
 * Sends what the kernel takes of it at once, and returns how many bytes that was: none too when the connection is broken,
 * which whoever writes to it next is told. Shared memory may be given.
 */
export const sendNow = (fd: number, bytes: Uint8Array): number =>
  Math.max(0, outcome(sendRaw(nr.sendto, fd, bytes, bytes.byteLength, MSG_DONTWAIT | MSG_NOSIGNAL, null, 0)));

/**
 * Takes what the kernel has of it at once, and returns how many bytes that was: none too when the connection has ended or is
 * broken, which whoever reads from it next is told. Shared memory may be given.
 */
export const receiveNow = (fd: number, into: Uint8Array): number =>
  Math.max(0, outcome(receiveRaw(nr.recvfrom, fd, into, into.byteLength, MSG_DONTWAIT, null, null)));

const pollfd = new Int32Array(2);
const timeout = new BigInt64Array(2);

const awaitEvent = (fd: number, event: number, ms: number): boolean => {
  [pollfd[0], pollfd[1]] = [fd, event];
  [timeout[0], timeout[1]] = [0n, BigInt(Math.round(ms * 1e6))];
  return outcome(ppollRaw(nr.ppoll, pollfd, 1, timeout, null, 0)) > 0;
};

/** Waits until it takes bytes again, or is broken: whether that was within so many milliseconds. */
export const awaitRoom = (fd: number, ms: number): boolean => awaitEvent(fd, POLLOUT, ms);

/** Waits until it has bytes again, has ended, or is broken: whether that was within so many milliseconds. */
export const awaitBytes = (fd: number, ms: number): boolean => awaitEvent(fd, POLLIN, ms);

/** Ends the connection in both directions, behind what is on its way, for all its descriptors. */
export const shutdown = (fd: number): void => {
  outcome(n2(nr.shutdown, fd, SHUT_RDWR));
};
