/**
 * Loaded into a gateway by `--import`: writes down how many bytes each update of an MD5 takes, in whatever thread, to the file
 * `TIDEGATE_TEST_MD5`.
 */
import crypto from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { BLOCK, type Program } from '../../gateway/storage/md5/program.js';

const file = process.env['TIDEGATE_TEST_MD5'];
const { createHash } = crypto;

if (file !== undefined) {
  crypto.createHash = (name, options) => {
    const hash = createHash(name, options);
    if (name !== 'md5') return hash;
    const update = hash.update.bind(hash) as (data: crypto.BinaryLike) => crypto.Hash;
    hash.update = (data: crypto.BinaryLike) => {
      appendFileSync(file, `${typeof data === 'string' ? data.length : data.byteLength}\n`);
      return update(data);
    };
    return hash;
  };
  countPrograms(file);
  // Those who import it by name get this one too.
  syncBuiltinESMExports();
}

type Functions = Record<keyof Program, (...parameters: number[]) => void>;
/** TypeScript has the types of this only together with those of a browser. */
declare const WebAssembly: { Instance: new (...args: unknown[]) => { exports: object } };

/** The same for those that run in WebAssembly. */
function countPrograms(to: string): void {
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class {
    exports: object;
    constructor(...args: unknown[]) {
      this.exports = new Instance(...args).exports;
      if (!('two' in this.exports)) return;
      const counting = Object.entries(this.exports as Functions).map(([name, run]) => [
        name,
        // A base, where the bytes of each stream are, how many blocks.
        (...parameters: number[]) => {
          appendFileSync(to, `${(parameters.length - 2) * parameters.at(-1)! * BLOCK}\n`);
          run(...parameters);
        },
      ]);
      this.exports = Object.fromEntries(counting);
    }
  };
}
