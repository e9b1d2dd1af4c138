/** The documents about who may do what: ACLs, ownership controls, public access blocks. */
import { type Acl, type Grant, groupUris, makeAcl, readGrant } from '../../../acl/grants.js';
import { isOwnership, type Ownership, type PublicAccessBlock } from '../../../acl/ownership.js';
import { S3Error } from '../../errors.js';
import type { XmlValue } from '../types.js';
import { child, childText, onlyChildren, readXml, type XmlElement } from './read.js';

const malformed = (why: string): S3Error => new S3Error('MalformedXML', { cause: new Error(why) });

// ---- ACLs --------------------------------------------------------------------------------------------------------

/**
 * @param owner of what the ACL is for: it cannot be given to another by its ACL
 * @throws S3Error MalformedACLError, AccessDenied, and what `readGrant` throws
 */
export function readAccessControlPolicy(bytes: Uint8Array, owner: string): Acl {
  const root = asAcl(() => readXml(bytes, 'AccessControlPolicy'));
  const named = child(root, 'Owner');
  const list = child(root, 'AccessControlList');
  if (!list) throw new S3Error('MalformedACLError');
  const id = named && asAcl(() => childText(named, 'ID'))?.trim();
  if (id !== undefined && id !== owner) {
    throw new S3Error('AccessDenied', { cause: new Error(`the ACL names ${id} as the owner, who is ${owner}`) });
  }
  return makeAcl(owner, list.children.map(readGrantElement));
}

function readGrantElement(element: XmlElement): Grant {
  const grantee = element.name === 'Grant' ? child(element, 'Grantee') : undefined;
  if (!grantee) throw new S3Error('MalformedACLError');
  const text = (of: XmlElement, name: string) => asAcl(() => childText(of, name))?.trim();
  return readGrant({
    id: text(grantee, 'ID'),
    uri: text(grantee, 'URI'),
    email: text(grantee, 'EmailAddress'),
    permission: text(element, 'Permission'),
  });
}

/** S3 has an error of its own for a document that is no ACL. */
function asAcl<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof S3Error && error.code === 'MalformedXML')
      throw new S3Error('MalformedACLError', { cause: error });
    throw error;
  }
}

/** @param displayName of an account; '' when it is gone */
export async function accessControlPolicy(
  { owner, grants }: Acl,
  displayName: (id: string) => Promise<string>,
): Promise<{ AccessControlPolicy: XmlValue }> {
  const account = async (ID: string) => ({ ID, DisplayName: await displayName(ID) });
  const list = grants.map(async ({ grantee, permission }) => ({
    Grantee: {
      '@xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
      '@xsi:type': grantee.group === undefined ? 'CanonicalUser' : 'Group',
      ...(grantee.group === undefined ? await account(grantee.id) : { URI: groupUris[grantee.group] }),
    },
    Permission: permission,
  }));
  return {
    AccessControlPolicy: { Owner: await account(owner), AccessControlList: { Grant: await Promise.all(list) } },
  };
}

// ---- ownership controls ------------------------------------------------------------------------------------------

/** One rule. @throws S3Error MalformedXML */
export function readOwnershipControls(bytes: Uint8Array): Ownership {
  const root = readXml(bytes, 'OwnershipControls');
  onlyChildren(root, 'Rule');
  const rule = child(root, 'Rule');
  if (!rule) throw malformed('no Rule');
  onlyChildren(rule, 'ObjectOwnership');
  const ownership = childText(rule, 'ObjectOwnership')?.trim();
  if (!isOwnership(ownership)) throw malformed(`"${ownership}" is no ObjectOwnership`);
  return ownership;
}

// ---- public access block -----------------------------------------------------------------------------------------

const flags = [
  ['BlockPublicAcls', 'blockPublicAcls'],
  ['IgnorePublicAcls', 'ignorePublicAcls'],
  ['BlockPublicPolicy', 'blockPublicPolicy'],
  ['RestrictPublicBuckets', 'restrictPublicBuckets'],
] as const;

/** What is left out is false. @throws S3Error MalformedXML */
export function readPublicAccessBlockConfiguration(bytes: Uint8Array): PublicAccessBlock {
  const root = readXml(bytes, 'PublicAccessBlockConfiguration');
  onlyChildren(root, ...flags.map(([name]) => name));
  const entries = flags.map(([name, flag]) => {
    const text = childText(root, name)?.trim().toLowerCase() ?? 'false';
    if (text !== 'true' && text !== 'false') throw malformed(`"${text}" is no boolean`);
    return [flag, text === 'true'];
  });
  return Object.fromEntries(entries) as PublicAccessBlock;
}

export const publicAccessBlockConfiguration = (block: PublicAccessBlock): { [root: string]: XmlValue } => ({
  PublicAccessBlockConfiguration: Object.fromEntries(flags.map(([name, flag]) => [name, block[flag]])),
});
