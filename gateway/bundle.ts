/**
 * The last step of the build: what is started (commands, threads, the sync engine) becomes a few files instead of hundreds of
 * modules, which take most of the time of a start. They lie flat in one directory, so that `./worker.js` beside a module is
 * there too. What tests import are the modules that tsc made.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const repository = resolve(import.meta.dirname, '../..');
const out = join(import.meta.dirname, 'cli');

const commands = ['tidegate', 's3dskey', 's3dsbucket', 'show-cs-usage', 'show-cs-quota'];
const threads = [
  'gateway/storage/posix/worker.ts',
  'gateway/storage/md5/md5-thread.ts',
  'sync/watch-thread.ts',
  'sync/process.ts',
];

// Their names tell their content: those of an older build would stay for ever.
for (const name of readdirSync(out)) if (name.startsWith('part-')) rmSync(join(out, name));

await build({
  absWorkingDir: repository,
  entryPoints: [...commands.map((name) => `gateway/cli/${name}.ts`), ...threads],
  outdir: out,
  entryNames: '[name]',
  chunkNames: 'part-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // ES modules first: only of those what nobody uses is left out.
  mainFields: ['module', 'main'],
  // They bring machine code that they look for beside themselves.
  external: ['koffi', 'lmdb', '@node-rs/crc32'],
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
});
