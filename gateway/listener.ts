/** Where the gateway listens, and the sockets for it where several processes do. */
import { lookup } from 'node:dns/promises';
import { Complaint, errnoOf, reasonOf } from './complaint.js';
import { boundPort, boundSocket, listen } from './storage/posix/sockets.js';
import { close } from './storage/posix/syscalls.js';

/** For the person who started it. @param error of a listener */
export function cannotListen(host: string, port: number, error: unknown): Complaint {
  const hints: Record<string, string> = {
    EADDRINUSE: ': stop what listens there, or give another --port',
    EACCES: ': ports below 1024 need root or CAP_NET_BIND_SERVICE',
    EADDRNOTAVAIL: ': give another --host',
    ENOTFOUND: ': give another --host',
  };
  return new Complaint(
    `cannot listen on ${host}:${port}: ${reasonOf(error)}${hints[errnoOf(error) ?? ''] ?? ''}`,
    1,
    error,
  );
}

/**
 * So many sockets on one port (SO_REUSEPORT, socket(7)): the kernel shares what connects out among those that listen. Where all
 * accept from one socket, whoever comes first takes all that connects at the same time, and serves it alone for as long as the
 * clients stay: of 64 connections to four processes up to 52. Node 20 cannot make them.
 * @param port 0: a free one
 * @throws a Complaint
 */
export async function sharedSockets(host: string, port: number, count: number): Promise<number[]> {
  const made: number[] = [];
  try {
    const { address } = await lookup(host);
    // Where somebody listens already, another gateway of several processes above all: they would be given connections in turns.
    const alone = boundSocket(address, port, false);
    const taken = boundPort(alone);
    close(alone);
    while (made.length < count) made.push(boundSocket(address, taken, true));
    // At once: only where somebody listens another gateway finds the port taken.
    listen(made[0]!);
    return made;
  } catch (error) {
    for (const fd of made) close(fd);
    throw cannotListen(host, port, error);
  }
}
