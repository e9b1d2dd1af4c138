/** A webhook for tests: a real HTTP server that can fail, hang, die and come back on its port. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  body: {
    Records?: { s3: { object: { key: string } }; eventName: string; tidegate: { seq: number } }[];
    Event?: string;
    From?: number;
    To?: number;
    [name: string]: unknown;
  };
  text: string;
  headers: http.IncomingHttpHeaders;
}

export interface Receiver {
  url: string;
  /** What it has answered with 200, in order. */
  taken: Received[];
  /** Requests at all. */
  requests: number;
  /** How the next requests are answered: a status, `hang` (never), `cut` (taken, but the answer is lost). */
  behave(how: number | 'hang' | 'cut', times?: number): void;
  /** Sequence numbers of the records taken, in order of arrival. */
  seqs(): number[];
  /** Nobody listens any more. */
  die(): Promise<void>;
  /** On the same port. */
  revive(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  let behaviour: { how: number | 'hang' | 'cut'; times: number } = { how: 200, times: 0 };
  let port = 0;
  const listen = async (): Promise<http.Server> => {
    const server = http.createServer(async (incoming, outgoing) => {
      receiver.requests++;
      const pieces: Buffer[] = [];
      try {
        for await (const piece of incoming) pieces.push(piece as Buffer);
      } catch {
        return;
      }
      const text = Buffer.concat(pieces).toString('utf8');
      const { how } = behaviour.times-- > 0 ? behaviour : { how: 200 };
      if (how === 'hang') return;
      if (how === 200 || how === 'cut') {
        receiver.taken.push({ body: JSON.parse(text), text, headers: incoming.headers });
        if (how === 'cut') incoming.socket.destroy();
        else outgoing.writeHead(200).end('ok');
      } else outgoing.writeHead(how, how < 400 ? { location: `http://127.0.0.1:${port}/elsewhere` } : {}).end();
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
    return server;
  };
  let server: http.Server;
  const receiver: Receiver = {
    url: '',
    taken: [],
    requests: 0,
    behave(how, times = Number.POSITIVE_INFINITY) {
      behaviour = { how, times };
    },
    seqs: () => receiver.taken.flatMap(({ body }) => (body.Records ?? []).map(({ tidegate }) => tidegate.seq)),
    async die() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
    async revive() {
      server = await listen();
    },
  };
  server = await listen();
  receiver.url = `http://127.0.0.1:${port}/hook`;
  return receiver;
}
