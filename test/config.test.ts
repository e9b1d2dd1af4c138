import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Complaint } from '../gateway/complaint.js';
import { type ConfigSources, loadConfig, settingDocs, settingsMarkdown } from '../gateway/config.js';
import { settings } from '../gateway/settings.js';

const config = suite('config');
let cwd = '';
config.before.each(() => {
  cwd = mkdtempSync(join(tmpdir(), 'tidegate-config-'));
});
config.after.each(() => rmSync(cwd, { recursive: true, force: true }));

const load = (sources: ConfigSources = {}) => loadConfig({ env: {}, cwd, ...sources });
const file = (content: unknown, name = 'tidegate.json') =>
  writeFileSync(join(cwd, name), typeof content === 'string' ? content : JSON.stringify(content));

async function complaint(sources: ConfigSources): Promise<string> {
  try {
    await load(sources);
  } catch (error) {
    assert.instance(error, Complaint);
    assert.is((error as Complaint).exitCode, 2);
    assert.not.match((error as Complaint).message, '\n');
    return (error as Complaint).message;
  }
  throw new Error('nothing was wrong');
}

config('without anything the defaults hold', async () => {
  const found = await load();
  assert.is(found.root, join(cwd, 'data'));
  assert.is(found.host, '127.0.0.1');
  assert.is(found.port, 9000);
  assert.is(found.region, 'us-east-1');
  assert.equal(found.hostStyle, []);
  assert.is(found.tlsCert, undefined);
  assert.is(found.durability, 'full');
  assert.is(found.uploadAge, 7 * 86_400_000);
  assert.is(found.maxBuckets, 999);
  assert.is(found.fileMode, 0o644);
  assert.is(found.metadata, 'auto');
});

config('flags win over the environment, that over the file, that over the defaults', async () => {
  file({ port: 1, host: 'file', region: 'file', durability: 'data' });
  const env = { TIDEGATE_PORT: '2', TIDEGATE_HOST: 'env' };
  const found = await load({ env, flags: { port: '3' } });
  assert.equal(
    [found.port, found.host, found.region, found.durability, found.workers],
    [3, 'env', 'file', 'data', 'auto'],
  );
});

config('an empty variable counts as not set', async () => {
  assert.is((await load({ env: { TIDEGATE_PORT: '' } })).port, 9000);
});

config('variables of others with our prefix are let be', async () => {
  assert.is((await load({ env: { TIDEGATE_SERVICE_HOST: '10.0.0.1' } })).port, 9000);
});

config('the same value may come as text or as JSON has it', async () => {
  file({ port: '8080', workers: 4, hostStyle: ['S3.example.org'], uploadAge: '36h', fileMode: '0600', umask: '0027' });
  const found = await load();
  assert.equal(
    [found.port, found.workers, found.hostStyle, found.uploadAge, found.fileMode, found.umask],
    [8080, 4, ['s3.example.org'], 36 * 3_600_000, 0o600, 0o027],
  );
  const env = { TIDEGATE_HOST_STYLE: 'a.example, b.example' };
  assert.equal((await load({ env })).hostStyle, ['a.example', 'b.example']);
});

config('ranges of addresses, as text or as a list; empty lists too', async () => {
  const env = { TIDEGATE_ALLOW_FROM: '192.0.2.0/24, 2001:db8::/32' };
  file({ trustedProxies: ['10.0.0.1'], privateNetworks: [] });
  const found = await load({ env });
  assert.equal(found.allowFrom, ['192.0.2.0/24', '2001:db8::/32']);
  assert.equal(found.trustedProxies, ['10.0.0.1']);
  assert.equal(found.privateNetworks, []);
  assert.ok((await load({ cwd: join(cwd, 'none') })).privateNetworks.includes('10.0.0.0/8'));
});

config('uploads may be kept for ever', async () => {
  assert.is((await load({ flags: { uploadAge: 'never' } })).uploadAge, 0);
});

config('paths in a file count from the file, others from the working directory', async () => {
  file({ root: 'store' }, 'other.json');
  assert.is((await load({ file: 'other.json' })).root, join(cwd, 'store'));
  const elsewhere = mkdtempSync(join(tmpdir(), 'tidegate-config-'));
  try {
    assert.is((await load({ cwd: elsewhere, file: join(cwd, 'other.json') })).root, join(cwd, 'store'));
    const flags = { root: 'here' };
    assert.is((await load({ cwd: elsewhere, file: join(cwd, 'other.json'), flags })).root, join(elsewhere, 'here'));
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

config('a bad value names the setting, where it came from, and what is allowed', async () => {
  assert.is(
    await complaint({ flags: { port: '70000' } }),
    'setting port (from --port) must be a number from 0 to 65535, not "70000"',
  );
  assert.is(
    await complaint({ env: { TIDEGATE_DURABILITY: 'most' } }),
    'setting durability (from TIDEGATE_DURABILITY) must be full, data or none, not "most"',
  );
  file({ maxBuckets: 0 });
  assert.is(
    await complaint({}),
    `setting maxBuckets (from ${join(cwd, 'tidegate.json')}) must be a number from 1 to 1000000, not 0`,
  );
});

config('values that a lenient reader would take are refused', async () => {
  const bad: [string, unknown][] = [
    ['port', '0x10'],
    ['port', '1e3'],
    ['port', '-1'],
    ['port', 80.5],
    ['port', true],
    ['root', ''],
    ['uploadAge', '7'],
    ['uploadAge', '30s'],
    ['uploadAge', 7],
    ['fileMode', 644],
    ['fileMode', '0444'],
    ['dirMode', '0600'],
    ['umask', '0700'],
    ['umask', '18'],
    ['umask', 22],
    ['hostStyle', 'http://x'],
    ['allowFrom', '10.0.0.0/33'],
    ['trustedProxies', ['proxy.example.org']],
    ['privateNetworks', '10.0.0.0/8;::1'],
    ['workers', 0],
    ['logLevel', 'loud'],
  ];
  for (const [name, value] of bad) {
    file({ [name]: value });
    assert.match(await complaint({}), `setting ${name} (from `);
  }
});

config('an unknown setting in the file is an error that names the nearest', async () => {
  file({ prot: 1 });
  assert.match(await complaint({}), /unknown setting "prot" in .*tidegate\.json: did you mean port\?$/);
  file({ durabilty: 'full' });
  assert.match(await complaint({}), 'did you mean durability?');
  file({ zzzzzzzzzz: 1 });
  assert.match(await complaint({}), 'the settings are root, host, port');
  file('{"__proto__": 1}');
  assert.match(await complaint({}), 'unknown setting "__proto__"');
});

config('a broken, missing or wrong-shaped file', async () => {
  file('{');
  assert.match(await complaint({}), /^the configuration file \S+ is not JSON: (?!\/)/);
  file('[]');
  assert.match(await complaint({}), 'must hold one JSON object');
  assert.match(await complaint({ file: 'absent.json' }), /cannot read .*absent\.json: no such file or directory/);
});

config('the master key comes from the environment only and is never shown', async () => {
  assert.is((await load({ env: { TIDEGATE_MASTER_KEY: 'abc' } })).masterKey, 'abc');
  file({ masterKey: 'topsecret' });
  const message = await complaint({});
  assert.match(message, 'give it as TIDEGATE_MASTER_KEY');
  assert.not.match(message, 'topsecret');
});

config('half of TLS is refused', async () => {
  assert.match(await complaint({ flags: { tlsCert: 'a.pem' } }), 'tlsCert is set and tlsKey is not');
  assert.match(await complaint({ env: { TIDEGATE_TLS_KEY: 'a.pem' } }), 'tlsKey is set and tlsCert is not');
});

config('the table of the README has every setting', () => {
  const lines = settingsMarkdown().split('\n');
  assert.is(lines.length, 2 + Object.keys(settings).length);
  assert.ok(
    lines.some((line) => line.startsWith('| `hostStyle` | `TIDEGATE_HOST_STYLE` | `--host-style <DOMAIN>` | – |')),
  );
  for (const { name, help, allowed } of settingDocs()) assert.ok(help !== '' && allowed !== '', name);
});

config("the README's table is this one", () => {
  const readme = readFileSync(join(process.cwd(), 'README.md'), 'utf8');
  assert.ok(readme.includes(settingsMarkdown()), 'paste what settingsMarkdown() answers into README.md');
});

config.run();
