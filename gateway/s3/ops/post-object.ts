import { invalidArgument, S3Error } from '../../errors.js';
import type { Headers } from '../../http/types.js';
import { quoteEtag } from '../etag.js';
import { encodeHeader } from '../header-text.js';
import { writtenHeaders } from '../object-headers.js';
import type { Context, Handler } from '../types.js';
import { objectTags, readTagging } from '../xml/shapes.js';
import { storeObject } from './put-object.js';

type Form = NonNullable<Context['form']>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html */
export const postObject: Handler = async (context) => {
  const { form, bucketName } = context;
  if (!form) throw new S3Error('MalformedPOSTRequest');
  // `${filename}` is replaced in it, as in every field, by the time it comes here.
  const key = form.fields.get('key');
  if (!key) throw new S3Error('UserKeyMustBeSpecified');
  const tagging = form.fields.get('tagging');
  const tags = tagging ? readTagging(Buffer.from(tagging, 'utf8'), objectTags) : undefined;
  const redirect = redirectOf(form);
  const info = await storeObject(context, key, formHeaders(form), {
    tags: tags && Object.keys(tags).length > 0 ? tags : undefined,
  });

  const headers = writtenHeaders(info.meta);
  const etag = quoteEtag(info.meta.etag);
  if (redirect) {
    for (const [name, value] of Object.entries({ bucket: bucketName, key, etag })) {
      redirect.searchParams.append(name, value);
    }
    return { status: 303, headers: { ...headers, location: redirect.href } };
  }
  const location = context.objectUrl(key);
  // "If the value is not set to one of these, Amazon S3 returns an empty document with a 204 status code."
  const status = form.fields.get('success_action_status');
  if (status === '201') {
    const xml = { PostResponse: { Location: location, Bucket: bucketName, Key: key, ETag: etag } };
    return { status: 201, headers: { ...headers, location }, body: { xml } };
  }
  return { status: status === '200' ? 200 : 204, headers: { ...headers, location } };
};

/** The fields as the headers that they stand for, in the one-character-a-byte form that headers have. */
function formHeaders({ fields }: Form): Headers {
  // Conditions would be asked about the one, and the other be stored.
  if (fields.has('acl') && fields.has('x-amz-acl')) {
    throw invalidArgument('acl', fields.get('acl') ?? '', 'The fields acl and x-amz-acl exclude each other');
  }
  const headers = new Map<string, string>();
  for (const [name, value] of fields) headers.set(name === 'acl' ? 'x-amz-acl' : name, encodeHeader(value));
  return headers;
}

/** "If Amazon S3 cannot interpret the URL, it acts as if the field is not present." */
function redirectOf({ fields }: Form): URL | undefined {
  const text = fields.get('success_action_redirect') ?? fields.get('redirect');
  if (!text || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}
