/** What node:http alone can do: answers from memory, in a process of its own. `/SIZE` is an object of so many bytes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const contents = new Map<string, Buffer>();

function content(url: string): Buffer {
  let known = contents.get(url);
  if (!known) contents.set(url, (known = Buffer.alloc(Number(url.slice(1)), 'x')));
  return known;
}

const server = createServer((request, response) => {
  if (request.method === 'PUT') {
    request.resume().on('end', () => response.writeHead(200, { 'content-length': 0 }).end());
    return;
  }
  if (request.method === 'DELETE') {
    response.writeHead(204).end();
    return;
  }
  const body = content(request.url!);
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': body.length,
    etag: '"d41d8cd98f00b204e9800998ecf8427e"',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
});
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
