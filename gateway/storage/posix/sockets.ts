/**
 * System calls on sockets: on a connection that Node serves, for a worker that reads from it or writes to it as well; and the
 * listening socket that Node cannot make.
 */
import { addressBytes, bind, nr, orThrow, outcome } from './libc.js';
import { close } from './syscalls.js';

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

const withBytes = bind(', long fd, void *bytes, long length');
const withSize = bind(', long fd, void *bytes, void *length');
const setOption = bind(', long fd, long level, long name, void *value, long length');

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** So many connections wait to be accepted: Node's own number. */
const BACKLOG = 511;

/**
 * A TCP socket that is bound to an address and does not listen yet (socket(7), ip(7), ipv6(7)).
 * @param port 0: a free one
 * @param shared others of the same user may be bound to it too, each for itself; those that listen share what connects
 * @throws an errno error: EADDRINUSE, EACCES, EADDRNOTAVAIL …
 */
export const boundSocket = (address: string, port: number, shared: boolean): number => {
  const sixth = address.includes(':');
  const family = sixth ? AF_INET6 : AF_INET;
  // sockaddr_in: family, port, address; sockaddr_in6 has its flow label before the address, and its scope behind it.
  const name = Buffer.alloc(sixth ? 28 : 16);
  name.writeUInt16LE(family);
  name.writeUInt16BE(port, 2);
  addressBytes(family, address).copy(name, sixth ? 8 : 4, 0, sixth ? 16 : 4);
  const fd = orThrow(n3(nr.socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket');
  try {
    const set = (level: number, option: number, value: number) =>
      orThrow(setOption(nr.setsockopt, fd, level, option, new Int32Array([value]), 4), 'setsockopt');
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared) set(SOL_SOCKET, SO_REUSEPORT, 1);
    // As Node does: all addresses of version 6 are those of version 4 too, however the machine is set up.
    if (sixth) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    orThrow(withBytes(nr.bind, fd, name, name.length), 'bind');
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
};

/** The port that a socket is bound to. */
export const boundPort = (fd: number): number => {
  const name = Buffer.alloc(28);
  orThrow(withSize(nr.getsockname, fd, name, new Int32Array([name.length])), 'getsockname');
  return name.readUInt16BE(2);
};

/** Has a bound socket listen. Whoever accepts from it may do so later, and what connects waits until then. */
export const listen = (fd: number): void => {
  orThrow(n2(nr.listen, fd, BACKLOG), 'listen');
};

/**
 * Has a socket not listen any more, for all its descriptors, where it did. Bound to a port that was named, it stays so and may
 * listen again: unlike after shutdown(2), where it did not listen, of which something would be left.
 */
export const unlisten = (fd: number): void => {
  // connect(2): with AF_UNSPEC, which is zero, an association is dissolved.
  outcome(withBytes(nr.connect, fd, Buffer.alloc(16), 16));
};
