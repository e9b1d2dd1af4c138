/** ACLs of buckets and objects: the owner has FULL_CONTROL, nobody else anything. */
import { S3Error } from '../../errors.js';
import { checkAclHeaders } from '../acl-headers.js';
import { requireCurrentVersion } from '../object-headers.js';
import { type Owner, ownerOf } from '../owner.js';
import { readDocument } from '../payload.js';
import type { Context, Reply } from '../types.js';
import { child, childText, readXml } from '../xml/read.js';

function policyOf(owner: Owner): Reply {
  const grantee = {
    '@xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
    '@xsi:type': 'CanonicalUser',
    ...owner,
  };
  const grant = { Grantee: grantee, Permission: 'FULL_CONTROL' };
  return { body: { xml: { AccessControlPolicy: { Owner: { ...owner }, AccessControlList: { Grant: grant } } } } };
}

export async function getBucketAcl(context: Context): Promise<Reply> {
  return policyOf(await ownerOf(context, undefined));
}

export async function getObjectAcl(context: Context): Promise<Reply> {
  requireCurrentVersion(context.query, context.key);
  const { meta } = await context.storage.head(context.place, context.key);
  return policyOf(await ownerOf(context, meta.owner));
}

/** `private`, as a header or as the document that GetBucketAcl answers, changes nothing; the rest is NotImplemented. */
export async function putBucketAcl(context: Context): Promise<Reply> {
  await checkRequested(context, await ownerOf(context, undefined));
  return {};
}

export async function putObjectAcl(context: Context): Promise<Reply> {
  requireCurrentVersion(context.query, context.key);
  const { meta } = await context.storage.head(context.place, context.key);
  await checkRequested(context, await ownerOf(context, meta.owner));
  return {};
}

async function checkRequested(context: Context, owner: Owner): Promise<void> {
  const { headers } = context;
  checkAclHeaders(headers);
  const document = await readDocument(context, 128 * 1024);
  if (headers.has('x-amz-acl')) return;
  if (document.byteLength === 0)
    throw new S3Error('MissingSecurityHeader', { fields: { MissingHeaderName: 'x-amz-acl' } });
  const root = readXml(document, 'AccessControlPolicy');
  const list = child(root, 'AccessControlList');
  if (!list) throw new S3Error('MalformedACLError');
  const [grant, ...more] = list.children;
  const grantee = grant && child(grant, 'Grantee');
  const owners =
    grantee && childText(grantee, 'ID') === owner.ID && childText(grant, 'Permission')?.trim() === 'FULL_CONTROL';
  if (!owners || more.length > 0) {
    throw new S3Error('NotImplemented', { message: 'Access control lists other than "private" are not implemented' });
  }
}
