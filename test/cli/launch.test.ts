/** `tidegate serve` is executed anew before it loads: in the same process, once, with what it needs. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startGateway } from '../support/gateway.js';

const facts = (pid: number) => ({
  command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'),
  bounding: BigInt(`0x${/^CapBnd:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]}`),
});
const CAP_SYS_RESOURCE = 24n;

test('V8 gets its flags once, and root only the capabilities that are needed', async () => {
  const gateway = await startGateway();
  const { command, bounding } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.is(command.filter((word) => word.startsWith('--max-semi-space-size=')).length, 1, command.join(' '));
  assert.ok(command.includes('--enable-source-maps'), 'what it was started with stays');
  if (process.geteuid!() === 0) assert.is((bounding >> CAP_SYS_RESOURCE) & 1n, 0n);
});

test("the operator's own flag stands", async () => {
  const gateway = await startGateway({ env: { NODE_OPTIONS: '--max-semi-space-size=8' } });
  const { command } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.not.ok(command.some((word) => word.startsWith('--max-semi-space-size=')));
});

test.run();
