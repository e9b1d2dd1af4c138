/** The programs in C that lie beside these, compiled when they are first used. */
import { join } from 'node:path';
import { run } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { present } from './process.js';

const source = join(import.meta.dirname, '../../../test/bench');
const made = new Map<string, Promise<string | undefined>>();

async function compile(name: string): Promise<string | undefined> {
  if (!present('cc')) return undefined;
  const program = join(tempDir('tidegate-bench-'), name);
  const { code } = await run('cc', ['-O2', '-pthread', '-o', program, join(source, `${name}.c`)]);
  return code === 0 ? program : undefined;
}

/** Where it is; undefined on a machine without a compiler. */
export function compiled(name: 'bare' | 'heads'): Promise<string | undefined> {
  let known = made.get(name);
  if (!known) made.set(name, (known = compile(name)));
  return known;
}
