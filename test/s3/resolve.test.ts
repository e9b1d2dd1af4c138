import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../gateway/errors.js';
import { parseQuery } from '../../gateway/http/target.js';
import { operations } from '../../gateway/s3/operations.js';
import { resolve } from '../../gateway/s3/resolve.js';

const test = suite('s3/resolve');

/** `GET /b/k?acl` with headers → the operation's name, or the error's code. */
function ask(line: string, headers: Record<string, string> = {}): string {
  const [method = '', url = ''] = line.split(' ');
  const [path = '', query = ''] = url.split('?');
  const [, bucket, ...rest] = path.split('/');
  const key = rest.join('/');
  const target = { bucket: bucket || undefined, key: key || undefined, style: 'path' as const };
  try {
    return resolve({ method, target, query: parseQuery(query), headers: new Map(Object.entries(headers)) }, operations)
      .name;
  } catch (error) {
    return (error as S3Error).code;
  }
}

const copy = { 'x-amz-copy-source': '/a/b' };
const lines: [line: string, expected: string, headers?: Record<string, string>][] = [
  ['GET /', 'ListBuckets'],
  ['GET /?x-id=ListBuckets&max-buckets=1', 'ListBuckets'],
  ['GET /?x-id=ListDirectoryBuckets', 'ListDirectoryBuckets'],
  ['HEAD /', 'MethodNotAllowed'],
  ['POST /', 'IAM'],
  ['GET /?Action=ListUsers', 'IAMQuery'],
  ['PUT /b', 'CreateBucket'],
  ['PUT /b/', 'CreateBucket'],
  ['HEAD /b', 'HeadBucket'],
  ['HEAD /b?list-type=2', 'HeadBucket'],
  ['DELETE /b', 'DeleteBucket'],
  ['GET /b', 'ListObjects'],
  ['GET /b/?prefix=a&delimiter=/', 'ListObjects'],
  ['GET /b?list-type=1', 'ListObjects'],
  ['GET /b?list-type=2&prefix=x', 'ListObjectsV2'],
  ['GET /b?versions&prefix=x', 'ListObjectVersions'],
  ['GET /b?uploads', 'ListMultipartUploads'],
  ['POST /b?delete', 'DeleteObjects'],
  ['POST /b?delete=&x-id=DeleteObjects', 'DeleteObjects'],
  ['POST /b', 'PostObject'],
  ['OPTIONS /b', 'OptionsBucket'],
  ['OPTIONS /b?acl', 'OptionsBucket'],
  ['GET /b?session', 'CreateSession'],
  ['POST /WriteGetObjectResponse', 'WriteGetObjectResponse', { 'x-amz-request-route': 'r' }],
  ['GET /b/?location', 'GetBucketLocation'],
  ['GET /b?location=', 'GetBucketLocation'],
  ['GET /b?acl', 'GetBucketAcl'],
  ['PUT /b?acl', 'PutBucketAcl'],
  ['GET /b?tagging', 'GetBucketTagging'],
  ['PUT /b?tagging', 'PutBucketTagging'],
  ['DELETE /b?tagging', 'DeleteBucketTagging'],
  ['GET /b?policy', 'GetBucketPolicy'],
  ['PUT /b?policy', 'PutBucketPolicy'],
  ['DELETE /b?policy', 'DeleteBucketPolicy'],
  ['GET /b?policyStatus', 'GetBucketPolicyStatus'],
  ['GET /b?sync', 'GetBucketSync'],
  ['PUT /b?sync', 'PutBucketSync'],
  ['PUT /b?sync&dry-run', 'PutBucketSync'],
  ['GET /b?cors', 'GetBucketCors'],
  ['PUT /b?cors', 'PutBucketCors'],
  ['DELETE /b?cors', 'DeleteBucketCors'],
  ['GET /b?lifecycle', 'GetBucketLifecycleConfiguration'],
  ['PUT /b?lifecycle', 'PutBucketLifecycleConfiguration'],
  ['DELETE /b?lifecycle', 'DeleteBucketLifecycle'],
  ['GET /b?encryption', 'GetBucketEncryption'],
  ['PUT /b?encryption', 'PutBucketEncryption'],
  ['DELETE /b?encryption', 'DeleteBucketEncryption'],
  ['GET /b?versioning', 'GetBucketVersioning'],
  ['PUT /b?versioning', 'PutBucketVersioning'],
  ['GET /b?website', 'GetBucketWebsite'],
  ['PUT /b?website', 'PutBucketWebsite'],
  ['DELETE /b?website', 'DeleteBucketWebsite'],
  ['GET /b?logging', 'GetBucketLogging'],
  ['PUT /b?logging', 'PutBucketLogging'],
  ['GET /b?notification', 'GetBucketNotificationConfiguration'],
  ['PUT /b?notification', 'PutBucketNotificationConfiguration'],
  ['GET /b?replication', 'GetBucketReplication'],
  ['PUT /b?replication', 'PutBucketReplication'],
  ['DELETE /b?replication', 'DeleteBucketReplication'],
  ['GET /b?requestPayment', 'GetBucketRequestPayment'],
  ['PUT /b?requestPayment', 'PutBucketRequestPayment'],
  ['GET /b?accelerate', 'GetBucketAccelerateConfiguration'],
  ['PUT /b?accelerate', 'PutBucketAccelerateConfiguration'],
  ['GET /b?object-lock', 'GetObjectLockConfiguration'],
  ['PUT /b?object-lock', 'PutObjectLockConfiguration'],
  ['GET /b?publicAccessBlock', 'GetPublicAccessBlock'],
  ['PUT /b?publicAccessBlock', 'PutPublicAccessBlock'],
  ['DELETE /b?publicAccessBlock', 'DeletePublicAccessBlock'],
  ['GET /b?ownershipControls', 'GetBucketOwnershipControls'],
  ['PUT /b?ownershipControls', 'PutBucketOwnershipControls'],
  ['DELETE /b?ownershipControls', 'DeleteBucketOwnershipControls'],
  ['GET /b?analytics', 'ListBucketAnalyticsConfigurations'],
  ['GET /b?analytics&id=1', 'GetBucketAnalyticsConfiguration'],
  ['PUT /b?analytics&id=1', 'PutBucketAnalyticsConfiguration'],
  ['DELETE /b?analytics&id=1', 'DeleteBucketAnalyticsConfiguration'],
  ['GET /b?inventory', 'ListBucketInventoryConfigurations'],
  ['GET /b?inventory&id=1', 'GetBucketInventoryConfiguration'],
  ['PUT /b?inventory&id=1', 'PutBucketInventoryConfiguration'],
  ['DELETE /b?inventory&id=1', 'DeleteBucketInventoryConfiguration'],
  ['GET /b?metrics', 'ListBucketMetricsConfigurations'],
  ['GET /b?metrics&id=1', 'GetBucketMetricsConfiguration'],
  ['PUT /b?metrics&id=1', 'PutBucketMetricsConfiguration'],
  ['DELETE /b?metrics&id=1', 'DeleteBucketMetricsConfiguration'],
  ['GET /b?intelligent-tiering', 'ListBucketIntelligentTieringConfigurations'],
  ['GET /b?intelligent-tiering&id=1', 'GetBucketIntelligentTieringConfiguration'],
  ['PUT /b?intelligent-tiering&id=1', 'PutBucketIntelligentTieringConfiguration'],
  ['DELETE /b?intelligent-tiering&id=1', 'DeleteBucketIntelligentTieringConfiguration'],
  ['GET /b?abac', 'GetBucketAbac'],
  ['PUT /b?abac', 'PutBucketAbac'],
  ['GET /b?metadataConfiguration', 'GetBucketMetadataConfiguration'],
  ['POST /b?metadataConfiguration', 'CreateBucketMetadataConfiguration'],
  ['DELETE /b?metadataConfiguration', 'DeleteBucketMetadataConfiguration'],
  ['GET /b?metadataTable', 'GetBucketMetadataTableConfiguration'],
  ['POST /b?metadataTable', 'CreateBucketMetadataTableConfiguration'],
  ['DELETE /b?metadataTable', 'DeleteBucketMetadataTableConfiguration'],
  ['PUT /b?metadataInventoryTable', 'UpdateBucketMetadataInventoryTableConfiguration'],
  ['PUT /b?metadataJournalTable', 'UpdateBucketMetadataJournalTableConfiguration'],
  ['GET /b/k', 'GetObject'],
  ['GET /b/k?partNumber=1', 'GetObject'],
  ['GET /b/k?versionId=null&response-content-type=x', 'GetObject'],
  ['GET /b/k?x-id=GetObject', 'GetObject'],
  ['HEAD /b/k', 'HeadObject'],
  ['HEAD /b/k?partNumber=1', 'HeadObject'],
  ['PUT /b/k', 'PutObject'],
  ['PUT /b/k?x-id=PutObject', 'PutObject'],
  ['PUT /b/k', 'CopyObject', copy],
  ['GET /b/k', 'GetObject', copy],
  ['DELETE /b/k', 'DeleteObject'],
  ['DELETE /b/k?versionId=null', 'DeleteObject'],
  ['OPTIONS /b/k', 'OptionsObject'],
  ['GET /b/k?attributes', 'GetObjectAttributes'],
  ['GET /b/k?acl', 'GetObjectAcl'],
  ['PUT /b/k?acl', 'PutObjectAcl'],
  ['GET /b/k?tagging', 'GetObjectTagging'],
  ['PUT /b/k?tagging', 'PutObjectTagging'],
  ['DELETE /b/k?tagging', 'DeleteObjectTagging'],
  ['GET /b/k?legal-hold', 'GetObjectLegalHold'],
  ['PUT /b/k?legal-hold', 'PutObjectLegalHold'],
  ['GET /b/k?retention', 'GetObjectRetention'],
  ['PUT /b/k?retention', 'PutObjectRetention'],
  ['GET /b/k?torrent', 'GetObjectTorrent'],
  ['POST /b/k?restore', 'RestoreObject'],
  ['POST /b/k?select&select-type=2', 'SelectObjectContent'],
  ['PUT /b/k?renameObject', 'RenameObject'],
  ['PUT /b/k?encryption', 'UpdateObjectEncryption'],
  ['POST /b/k?uploads', 'CreateMultipartUpload'],
  ['PUT /b/k?uploadId=u&partNumber=1', 'UploadPart'],
  ['PUT /b/k?partNumber=1&uploadId=u&x-id=UploadPart', 'UploadPart'],
  ['PUT /b/k?uploadId=u&partNumber=1', 'UploadPartCopy', copy],
  ['PUT /b/k?partNumber=1', 'InvalidArgument'],
  ['PUT /b/k?partNumber', 'InvalidArgument'],
  ['PUT /b/k?partNumber=1', 'InvalidArgument', copy],
  ['PUT /b/k?partNumber=1&uploads', 'InvalidArgument'],
  ['DELETE /b/k?partNumber=1', 'InvalidArgument'],
  ['POST /b/k?partNumber=1', 'InvalidArgument'],
  ['POST /b/k?uploadId=u', 'CompleteMultipartUpload'],
  ['DELETE /b/k?uploadId=u', 'AbortMultipartUpload'],
  ['GET /b/k?uploadId=u&max-parts=2', 'ListParts'],
  // A known sub-resource never falls through to the plain row.
  ['DELETE /b?location', 'MethodNotAllowed'],
  ['DELETE /b?acl', 'MethodNotAllowed'],
  ['PUT /b?location', 'MethodNotAllowed'],
  ['DELETE /b/k?acl', 'MethodNotAllowed'],
  ['PUT /b/k?uploadId=u', 'MethodNotAllowed'],
  ['PUT /b/k?uploads', 'MethodNotAllowed'],
  ['PUT /b/k?acl', 'PutObjectAcl', copy],
  ['GET /b?delete', 'MethodNotAllowed'],
  ['POST /b/k', 'MethodNotAllowed'],
  ['PATCH /b/k', 'MethodNotAllowed'],
  // Unknown parameters change nothing.
  ['GET /b?unknown', 'ListObjects'],
  ['PUT /b/k?unknown=1', 'PutObject'],
];
for (const [line, expected, headers] of lines) {
  test(`${line}${headers ? ' with a header' : ''}`, () => assert.is(ask(line, headers), expected));
}

test('each row is reached by a line above, and stands once', () => {
  const tested = new Set(lines.map(([, expected]) => expected));
  assert.equal(
    operations.map(({ name }) => name).filter((name) => !tested.has(name)),
    [],
  );
  assert.is(new Set(operations.map(({ name }) => name)).size, operations.length);
});

test('a 405 names what is allowed', () => {
  try {
    resolve(
      {
        method: 'PATCH',
        target: { bucket: 'b', key: undefined, style: 'path' },
        query: parseQuery('acl'),
        headers: new Map(),
      },
      operations,
    );
    assert.unreachable();
  } catch (error) {
    assert.is((error as S3Error).headers['allow'], 'GET, PUT');
  }
});

test.run();
