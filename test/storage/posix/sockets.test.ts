/** The listening socket that Node cannot make, used by Node's own server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boundPort, boundSocket, tryDuplicate, unlisten } from '../../../gateway/storage/posix/sockets.js';
import { close } from '../../../gateway/storage/posix/syscalls.js';

const test = suite('sockets');

/** A server on such a socket, which answers with its name. */
async function serve(name: string, fd: number) {
  const server = createServer((socket) => socket.end(name)).listen({ fd });
  await once(server, 'listening');
  const { address, port } = server.address() as AddressInfo;
  return { address, port, end: () => new Promise((resolve) => server.close(resolve)) };
}

async function ask({ address, port }: { address: string; port: number }): Promise<string> {
  const [name] = await once(connect(port, address), 'data');
  return `${name}`;
}

/** A machine may be without IPv6. */
const has = Object.values(networkInterfaces()).flatMap((all) => all!.map(({ address }) => address));

for (const address of ['127.0.0.1', '::1'].filter((each) => has.includes(each))) {
  test(`of ${address}: shared by those who say so, and by nobody else`, async () => {
    const one = await serve('one', boundSocket(address, 0, true));
    assert.is(one.address, address);
    assert.ok(one.port > 0);
    const two = await serve('two', boundSocket(address, one.port, true));
    assert.throws(() => boundSocket(address, one.port, false), /EADDRINUSE/);
    const answers = new Set<string>();
    for (let n = 0; n < 60; n++) answers.add(await ask(one));
    assert.equal([...answers].sort(), ['one', 'two']);
    // Without the one all goes to the other.
    await one.end();
    for (let n = 0; n < 8; n++) assert.is(await ask(two), 'two');
    await two.end();
  });

  test(`of ${address}: one that does not listen any more can listen again`, async () => {
    const first = boundSocket(address, 0, false);
    const port = boundPort(first);
    close(first);
    const fd = boundSocket(address, port, true);
    /** Two descriptors of one socket, as two processes have it. */
    const again = () => serve('it', tryDuplicate(fd));
    const before = await again();
    assert.is(await ask(before), 'it');
    // Twice, as by the one who serves and the one who looks after him.
    unlisten(fd);
    unlisten(fd);
    await before.end();
    const refused = await ask(before).catch(({ code }) => code);
    assert.is(refused, 'ECONNREFUSED');
    const after = await again();
    assert.is(after.port, port);
    assert.is(await ask(after), 'it');
    await after.end();
    // With another descriptor of it nobody takes what connects, but it waits.
    const connected = connect(port, address);
    await once(connected, 'connect');
    connected.destroy();
    close(fd);
    close(boundSocket(address, port, false));
  });
}

test('all addresses are those of version 4 too', async () => {
  if (!has.includes('::1')) return;
  const all = await serve('it', boundSocket('::', 0, true));
  assert.is(await ask({ address: '127.0.0.1', port: all.port }), 'it');
  await all.end();
});

test('an address that is none, or of nobody here', () => {
  for (const address of ['localhost', '1.2.3', '', 'fe80::1%lo', '192.0.2.1', '2001:db8::1'])
    assert.throws(() => boundSocket(address, 0, true), /EADDRNOTAVAIL/, address);
});

test.run();
