/**
 * Loaded into a gateway by `--import`: writes down how many bytes each update of an MD5 takes, in whatever thread, to the file
 * `TIDEGATE_TEST_MD5`.
 */
import crypto from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

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
  // Those who import it by name get this one too.
  syncBuiltinESMExports();
}
