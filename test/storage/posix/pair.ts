/** Connections for what writes to them past Node. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Sink } from '../../../gateway/storage/types.js';

/** Two ends of a connection, of which ours is served by Node. */
export const pair = async (server = createServer({ allowHalfOpen: true })) => {
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const theirs = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const ours = await accepted;
  for (const socket of [ours, theirs]) socket.on('error', () => {});
  const end = () => {
    for (const socket of [ours, theirs]) socket.destroy();
    server.close();
  };
  return { ours, theirs, server, end };
};

/** A sink over a socket, as a reply has one; `through` and `past` count bytes. */
export const sinkTo = (socket: Socket, usable: () => boolean = () => true) => {
  const counted = { through: 0, past: 0 };
  const sink: Sink = (chunk) =>
    new Promise((resolve, reject) => {
      counted.through += chunk.length;
      const closed = () => reject(new Error('closed'));
      socket.once('close', closed);
      socket.write(chunk, (error) => {
        socket.off('close', closed);
        if (error) closed();
        else resolve();
      });
    });
  sink.socket = {
    descriptor: () => (usable() ? (socket as unknown as { _handle?: { fd: number } })._handle?.fd : undefined),
    sent: (bytes) => {
      counted.past += bytes;
      if (socket.destroyed) throw new Error('closed');
    },
  };
  return { sink, counted };
};
