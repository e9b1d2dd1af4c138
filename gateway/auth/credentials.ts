/**
 * Secrets of access keys at rest: AES-256-GCM under the master key.
 *
 * A signature can only be checked with the secret itself, so it cannot be stored as a hash. The sealed text is
 * `v1.<nonce>.<ciphertext and tag>` in base64url; the access key id is bound to it as additional data, so that a
 * sealed secret copied into another key's document does not open.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

const nonceBytes = 12;
const tagBytes = 16;
export const masterKeyBytes = 32;

/** Seals and opens secrets with one master key. */
export interface Sealer {
  seal(accessKey: string, secret: string): string;
  /** Throws when the text was sealed with another master key, for another access key, or was altered. */
  open(accessKey: string, sealed: string): string;
}

/** A new master key, in the form that is stored: base64. */
export const newMasterKey = (): string => randomBytes(masterKeyBytes).toString('base64');

/** The 32 bytes that a text in hex or base64 stands for; undefined when it is neither. */
export function parseMasterKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return Buffer.from(trimmed, 'hex');
  // Buffer.from skips what is no base64: the form is checked first, or a truncated key would pass with padding.
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return undefined;
  const bytes = Buffer.from(trimmed, 'base64');
  return bytes.length === masterKeyBytes ? bytes : undefined;
}

/** `key`: 32 bytes. */
export function createSealer(key: Uint8Array): Sealer {
  if (key.length !== masterKeyBytes) throw new Error(`a master key has ${masterKeyBytes} bytes, not ${key.length}`);
  return {
    seal: (accessKey, secret) => sealSecret(key, accessKey, secret),
    open: (accessKey, sealed) => openSecret(key, accessKey, sealed),
  };
}

export function sealSecret(key: Uint8Array, accessKey: string, secret: string): string {
  // A random 96-bit nonce is safe for 2^32 seals under one key (NIST SP 800-38D, section 8.3).
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(accessKey, 'utf8'));
  const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `v1.${nonce.toString('base64url')}.${sealed.toString('base64url')}`;
}

/** Throws an Error that says what does not fit. */
export function openSecret(key: Uint8Array, accessKey: string, sealed: string): string {
  const [version, nonceText, text, ...rest] = sealed.split('.');
  if (version !== 'v1' || nonceText === undefined || text === undefined || rest.length > 0) {
    throw new Error(`the stored secret of ${accessKey} is in a form that this version does not know`);
  }
  const nonce = Buffer.from(nonceText, 'base64url');
  const bytes = Buffer.from(text, 'base64url');
  if (nonce.length !== nonceBytes || bytes.length < tagBytes) {
    throw new Error(`the stored secret of ${accessKey} is damaged`);
  }
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(accessKey, 'utf8'));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new Error(
      `the stored secret of ${accessKey} does not open: it was sealed with another master key, or altered`,
      {
        cause,
      },
    );
  }
}

/** Tells master keys apart without showing anything of them: for messages and for recognising the right one. */
export const fingerprint = (key: Uint8Array): string =>
  createHash('sha256').update('tidegate master key fingerprint\0').update(key).digest('hex').slice(0, 16);
