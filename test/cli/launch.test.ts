/** `tidegate serve` is executed anew before it loads: in the same process, once, with what it needs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startGateway } from '../support/gateway.js';
import { isRoot } from '../support/people.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const facts = (pid: number) => ({
  command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'),
  arenas: readFileSync(`/proc/${pid}/environ`, 'latin1')
    .split('\0')
    .filter((variable) => variable.startsWith('MALLOC_ARENA_MAX=')),
  bounding: BigInt(`0x${/^CapBnd:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]}`),
});
const CAP_SYS_ADMIN = 21n;
const CAP_SYS_RESOURCE = 24n;

test('V8 and glibc get their settings once, and root only the capabilities that are needed', async () => {
  const gateway = await startGateway({ env: { MALLOC_ARENA_MAX: undefined } });
  const { command, arenas, bounding } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.is(command.filter((word) => word.startsWith('--max-semi-space-size=')).length, 1, command.join(' '));
  assert.equal(arenas, ['MALLOC_ARENA_MAX=2']);
  assert.ok(command.includes('--enable-source-maps'), 'what it was started with stays');
  if (isRoot) assert.is((bounding >> CAP_SYS_RESOURCE) & 1n, 0n);
});

test('a mark that somebody else has left in the environment keeps nothing from it', async () => {
  const gateway = await startGateway({ env: { TIDEGATE_EXECUTED_ANEW: '1' } });
  const { command, bounding } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.ok(command.some((word) => word.startsWith('--max-semi-space-size=')));
  if (isRoot) assert.is((bounding >> CAP_SYS_RESOURCE) & 1n, 0n);
});

(isRoot ? test : test.skip)('what reads changelogs keeps what that takes, wherever it is configured', async () => {
  const file = join(tempDir(), 'name=gateway.json');
  writeFileSync(file, '{"changelog": ["lustre-MDT0000:cl1"]}');
  const gateway = await startGateway({ flags: [`--config=${file}`] });
  const { bounding } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.is((bounding >> CAP_SYS_ADMIN) & 1n, 1n);
  assert.is((bounding >> CAP_SYS_RESOURCE) & 1n, 0n);
});

test('a gateway whose files are replaced while it runs goes on', async () => {
  // As the package lies when it is installed.
  const at = tempDir();
  const repository = join(import.meta.dirname, '../../..');
  const program = join(at, 'dist/gateway/cli');
  cpSync(join(repository, 'dist/gateway/cli'), program, { recursive: true });
  cpSync(join(repository, 'package.json'), join(at, 'package.json'));
  symlinkSync(join(repository, 'node_modules'), join(at, 'node_modules'));
  const replace = () => {
    for (const name of readdirSync(program)) if (name.startsWith('part-')) rmSync(join(program, name));
  };
  const args = [join(program, 'tidegate.js'), 'serve', '--port', '0', '--root', join(at, 'root')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    const url = await until('the gateway', 20_000, () => /^tidegate: listening on (\S+)$/m.exec(output)?.[1]);
    replace();
    const asked = await fetch(`${url}/.tidegate/live`).then(
      ({ status }) => status,
      () => 'none',
    );
    assert.ok(asked === 200 || asked === 'none', `${asked}`);
    assert.is((await fetch(url)).status, 403, output);
    assert.is(child.exitCode, null);
    child.kill('SIGTERM');
    await once(child, 'exit');
    assert.is(child.exitCode, 0, output);
  } finally {
    child.kill('SIGKILL');
  }
});

test("the operator's own settings stand", async () => {
  const gateway = await startGateway({ env: { NODE_OPTIONS: '--max-semi-space-size=8', MALLOC_ARENA_MAX: '3' } });
  const { command, arenas } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.equal(arenas, ['MALLOC_ARENA_MAX=3']);
  assert.not.ok(command.some((word) => word.startsWith('--max-semi-space-size=')));
});

test('what is missing is added to what the operator has set', async () => {
  const gateway = await startGateway({
    env: { NODE_OPTIONS: '--max-semi-space-size=8', MALLOC_ARENA_MAX: undefined },
  });
  const { arenas } = facts(gateway.pid);
  assert.is(await gateway.stop(), 0);
  assert.equal(arenas, ['MALLOC_ARENA_MAX=2']);
});

test.run();
