import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  createSealer,
  fingerprint,
  newMasterKey,
  openSecret,
  parseMasterKey,
  sealSecret,
} from '../../gateway/auth/credentials.js';

const key = randomBytes(32);
const id = 'AKIAABCDEFGHIJKLMNOP';
const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';

test('what was sealed opens again, and looks different each time', () => {
  const one = sealSecret(key, id, secret);
  const two = sealSecret(key, id, secret);
  assert.is.not(one, two);
  assert.is(openSecret(key, id, one), secret);
  assert.is(openSecret(key, id, two), secret);
  assert.not.match(one, secret);
  assert.match(one, /^v1\.[\w-]{16}\.[\w-]+$/);
});

test('another master key, another access key and an altered text do not open', () => {
  const sealed = sealSecret(key, id, secret);
  assert.throws(() => openSecret(randomBytes(32), id, sealed), /another master key, or altered/);
  assert.throws(() => openSecret(key, 'AKIAXXXXXXXXXXXXXXXX', sealed), /another master key, or altered/);
  const [version, nonce, text] = sealed.split('.');
  const bytes = Buffer.from(text!, 'base64url');
  for (const at of [0, bytes.length - 1]) {
    const altered = Buffer.from(bytes);
    altered[at]! ^= 1;
    assert.throws(() => openSecret(key, id, `${version}.${nonce}.${altered.toString('base64url')}`), /altered/);
  }
});

test('a shortened authentication tag is refused', () => {
  const [version, nonce, text] = sealSecret(key, id, '').split('.');
  const short = Buffer.from(text!, 'base64url').subarray(0, 12).toString('base64url');
  assert.throws(() => openSecret(key, id, `${version}.${nonce}.${short}`), /damaged/);
});

test('forms of another version are told apart from damage', () => {
  assert.throws(() => openSecret(key, id, 'v2.a.b'), /a form that this version does not know/);
  assert.throws(() => openSecret(key, id, ''), /a form that this version does not know/);
});

test('a master key is read from hex and base64, and from nothing else', () => {
  assert.equal(parseMasterKey(key.toString('hex')), key);
  assert.equal(parseMasterKey(`${key.toString('base64')}\n`), key);
  assert.equal(parseMasterKey(key.toString('base64url')), key);
  assert.is(parseMasterKey(newMasterKey())?.length, 32);
  for (const bad of ['', 'secret', key.toString('hex').slice(2), `${key.toString('base64')}AA`, '?'.repeat(44)]) {
    assert.is(parseMasterKey(bad), undefined);
  }
});

test('a key of another length makes no sealer', () => {
  assert.throws(() => createSealer(randomBytes(16)), /32 bytes/);
});

test('fingerprints tell keys apart', () => {
  assert.is(fingerprint(key), fingerprint(Buffer.from(key)));
  assert.is.not(fingerprint(key), fingerprint(randomBytes(32)));
});

test.run();
