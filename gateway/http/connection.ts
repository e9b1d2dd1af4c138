/**
 * The connection of a request, for whoever takes bytes of the body from it without this thread. Node's parser counts these bytes
 * all the same, so that it finds the end of the message, and the next one. All that is known of Node's insides is here.
 */
import type { IncomingMessage } from 'node:http';

export interface Connection {
  /**
   * Keeps Node from reading until `release`. The descriptor is good until the event loop goes on: then its number may be
   * another client's. Undefined, and nothing is kept, when Node must go on reading: TLS, or what it has read is not all taken.
   */
  hold(): number | undefined;
  /** So many bytes of the body have been taken. @throws when Node does not see it so: the connection is then destroyed */
  consume(bytes: number): void;
  /** Node goes on, where it wanted to meanwhile. */
  release(): void;
}

/** Node's own handle of a connection: `reading` is what Node wants, `readStart` what makes it so. */
interface Handle {
  fd?: number;
  reading?: boolean;
  readStart?(): number;
  readStop?(): number;
}
interface Parser {
  incoming?: IncomingMessage | null;
  execute?(bytes: Uint8Array): unknown;
  [callback: number]: unknown;
}
type Insides = { _handle?: Handle | null; parser?: Parser | null };

/** In the place of what was taken. They are no HTTP: where a parser awaits no body, they are an error and no request. */
const zeros = Buffer.alloc(1 << 20);
const wait = () => 0;

export const connectionBehind = (incoming: IncomingMessage): Connection => {
  const { socket } = incoming;
  const insides = socket as Insides;
  let held: Handle | undefined;

  /** The parser as long as it is at this very message, and the number of its callback for bytes of a body. */
  const current = (): [Parser, number] | undefined => {
    const { parser } = insides;
    const number = (parser?.constructor as { kOnBody?: number } | undefined)?.kOnBody;
    const usable = parser?.incoming === incoming && typeof parser.execute === 'function' && number !== undefined;
    return usable ? [parser, number] : undefined;
  };

  return {
    hold() {
      const handle = insides._handle;
      const fd = handle?.fd ?? -1;
      const known = typeof handle?.readStart === 'function' && typeof handle.readStop === 'function' && current();
      if (!handle || !known || fd < 0 || 'encrypted' in socket || socket.destroyed) return undefined;
      if (incoming.complete || incoming.readableLength > 0 || socket.readableLength > 0) return undefined;
      handle.readStop!();
      // Streams that resume and pause in the meantime only change `reading`.
      handle.readStart = wait;
      held = handle;
      return fd;
    },
    consume(bytes) {
      const at = current();
      let left = incoming.readableLength > 0 || !at ? -1 : bytes;
      while (at && left > 0) {
        const [parser, number] = at;
        const count = Math.min(left, zeros.length);
        const own = parser[number];
        parser[number] = undefined;
        left = parser.execute!(zeros.subarray(0, count)) === count ? left - count : -1;
        parser[number] = own;
      }
      if (left === 0) return;
      socket.destroy();
      throw new Error('the parser has lost its place in the body');
    },
    release() {
      const handle = held;
      held = undefined;
      if (!handle) return;
      delete handle.readStart;
      if (handle.reading && insides._handle === handle) handle.readStart!();
    },
  };
};
