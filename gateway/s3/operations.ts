/**
 * THE table: every operation of the S3 API reference, one row each. A row without a handler answers NotImplemented.
 * Adding an operation: its file in `ops/`, its row here, its test.
 */

import { abortMultipartUpload } from './ops/abort-multipart-upload.js';
import { getBucketAcl, getObjectAcl, putBucketAcl, putObjectAcl } from './ops/acl.js';
import * as notification from './ops/bucket-notification.js';
import * as policy from './ops/bucket-policy.js';
import { getBucketSync, putBucketSync } from './ops/bucket-sync.js';
import { deleteBucketTagging, getBucketTagging, putBucketTagging } from './ops/bucket-tagging.js';
import { completeMultipartUpload } from './ops/complete-multipart-upload.js';
import { copyObject } from './ops/copy-object.js';
import { createBucket } from './ops/create-bucket.js';
import { createMultipartUpload } from './ops/create-multipart-upload.js';
import { deleteBucket } from './ops/delete-bucket.js';
import { deleteObject } from './ops/delete-object.js';
import { deleteObjectTagging } from './ops/delete-object-tagging.js';
import { deleteObjects } from './ops/delete-objects.js';
import { getBucketLocation } from './ops/get-bucket-location.js';
import { getObject } from './ops/get-object.js';
import { getObjectAttributes } from './ops/get-object-attributes.js';
import { getObjectTagging } from './ops/get-object-tagging.js';
import { headBucket } from './ops/head-bucket.js';
import { headObject } from './ops/head-object.js';
import { listBuckets } from './ops/list-buckets.js';
import { listMultipartUploads } from './ops/list-multipart-uploads.js';
import { listObjectVersions } from './ops/list-object-versions.js';
import { listObjects } from './ops/list-objects.js';
import { listObjectsV2 } from './ops/list-objects-v2.js';
import { listParts } from './ops/list-parts.js';
import * as unset from './ops/not-configured.js';
import * as ownership from './ops/ownership-controls.js';
import { postObject } from './ops/post-object.js';
import { preflight } from './ops/preflight.js';
import * as block from './ops/public-access-block.js';
import { putObject } from './ops/put-object.js';
import { putObjectTagging } from './ops/put-object-tagging.js';
import { uploadPart } from './ops/upload-part.js';
import { uploadPartCopy } from './ops/upload-part-copy.js';
import type { Handler, Operation } from './types.js';

type Extra = Partial<
  Pick<
    Operation,
    'action' | 'also' | 'looks' | 'uploader' | 'eachKey' | 'body' | 'header' | 'bucketOptional' | 'open' | 'api'
  >
>;

/** All rows have all properties: V8 reads those of one shape quicker than of many. */
const absent = {
  ...{ header: undefined, also: undefined, looks: undefined, uploader: undefined, eachKey: undefined },
  ...{ bucketOptional: undefined, open: undefined, api: undefined },
} satisfies Extra;

/**
 * `'GET analytics&id'`: method, then the parameters that must be there; `name=value` fixes a value. The IAM action is
 * `s3:<name>` and the body `xml` for PUT and POST, `none` else, unless `extra` says otherwise.
 */
function row(
  level: Operation['level'],
  pattern: string,
  name: string,
  handler?: Handler,
  extra: Extra = {},
): Operation {
  const [method, parameters = ''] = pattern.split(' ') as [Operation['method'], string?];
  const parts = parameters.split('&').filter((each) => each !== '');
  const fixed = parts.find((each) => each.includes('='))?.split('=') as [string, string] | undefined;
  const query = parts.filter((each) => !each.includes('='));
  return {
    name,
    method,
    level,
    query: query.length > 0 ? query : undefined,
    queryValue: fixed,
    action: `s3:${name}`,
    body: method === 'PUT' || method === 'POST' ? 'xml' : 'none',
    handler,
    ...absent,
    ...extra,
  };
}

const service = row.bind(undefined, 'service');
const bucket = row.bind(undefined, 'bucket');
const object = row.bind(undefined, 'object');

const none = undefined;
/** Names the IAM action where it is not the operation's own name (service authorisation reference, Amazon S3). */
const may = (action: string, extra: Extra = {}): Extra => ({ action: `s3:${action}`, ...extra });
const looks: Extra = { looks: true };
const copies: Extra = { action: 's3:PutObject', header: 'x-amz-copy-source', body: 'none' };

export const operations: readonly Operation[] = [
  // ---- service
  service('GET', 'ListBuckets', listBuckets, may('ListAllMyBuckets')),
  service('GET x-id=ListDirectoryBuckets', 'ListDirectoryBuckets', none, may('ListAllMyDirectoryBuckets')),
  service('POST', 'IAM', none, { api: 'iam' }),
  service('GET Action', 'IAMQuery', none, { api: 'iam' }),

  // ---- buckets
  bucket('PUT', 'CreateBucket', createBucket, { bucketOptional: true }),
  bucket('HEAD', 'HeadBucket', headBucket, may('ListBucket')),
  bucket('DELETE', 'DeleteBucket', deleteBucket),
  bucket('GET', 'ListObjects', listObjects, may('ListBucket')),
  bucket('GET list-type=2', 'ListObjectsV2', listObjectsV2, may('ListBucket')),
  bucket('GET versions', 'ListObjectVersions', listObjectVersions, may('ListBucketVersions')),
  bucket('GET uploads', 'ListMultipartUploads', listMultipartUploads, may('ListBucketMultipartUploads')),
  bucket('POST delete', 'DeleteObjects', deleteObjects, may('DeleteObject', { eachKey: true })),
  bucket('POST', 'PostObject', postObject, may('PutObject', { body: 'form' })),
  bucket('OPTIONS', 'OptionsBucket', preflight, { open: true }),
  bucket('GET session', 'CreateSession'),
  bucket('POST', 'WriteGetObjectResponse', none, { header: 'x-amz-request-route', body: 'stream' }),

  bucket('GET location', 'GetBucketLocation', getBucketLocation),
  bucket('GET acl', 'GetBucketAcl', getBucketAcl),
  bucket('PUT acl', 'PutBucketAcl', putBucketAcl),
  bucket('GET tagging', 'GetBucketTagging', getBucketTagging),
  bucket('PUT tagging', 'PutBucketTagging', putBucketTagging),
  bucket('DELETE tagging', 'DeleteBucketTagging', deleteBucketTagging, may('PutBucketTagging')),
  bucket('GET policy', 'GetBucketPolicy', policy.getBucketPolicy),
  bucket('PUT policy', 'PutBucketPolicy', policy.putBucketPolicy),
  bucket('DELETE policy', 'DeleteBucketPolicy', policy.deleteBucketPolicy),
  bucket('GET policyStatus', 'GetBucketPolicyStatus', policy.getBucketPolicyStatus),
  // Of S3DS, with actions of our own: whoever may write into the bucket may have it synced.
  bucket('GET sync', 'GetBucketSync', getBucketSync),
  bucket('PUT sync', 'PutBucketSync', putBucketSync),
  bucket('GET cors', 'GetBucketCors', unset.getBucketCors, may('GetBucketCORS')),
  bucket('PUT cors', 'PutBucketCors', none, may('PutBucketCORS')),
  bucket('DELETE cors', 'DeleteBucketCors', unset.deleteAbsent, may('PutBucketCORS')),
  bucket(
    'GET lifecycle',
    'GetBucketLifecycleConfiguration',
    unset.getBucketLifecycle,
    may('GetLifecycleConfiguration'),
  ),
  bucket('PUT lifecycle', 'PutBucketLifecycleConfiguration', none, may('PutLifecycleConfiguration')),
  bucket('DELETE lifecycle', 'DeleteBucketLifecycle', unset.deleteAbsent, may('PutLifecycleConfiguration')),
  bucket('GET encryption', 'GetBucketEncryption', unset.getBucketEncryption, may('GetEncryptionConfiguration')),
  bucket('PUT encryption', 'PutBucketEncryption', none, may('PutEncryptionConfiguration')),
  bucket('DELETE encryption', 'DeleteBucketEncryption', unset.deleteAbsent, may('PutEncryptionConfiguration')),
  bucket('GET versioning', 'GetBucketVersioning', unset.getBucketVersioning),
  bucket('PUT versioning', 'PutBucketVersioning'),
  bucket('GET website', 'GetBucketWebsite', unset.getBucketWebsite),
  bucket('PUT website', 'PutBucketWebsite'),
  bucket('DELETE website', 'DeleteBucketWebsite', unset.deleteAbsent),
  bucket('GET logging', 'GetBucketLogging', unset.getBucketLogging),
  bucket('PUT logging', 'PutBucketLogging'),
  bucket(
    'GET notification',
    'GetBucketNotificationConfiguration',
    notification.getBucketNotification,
    may('GetBucketNotification'),
  ),
  bucket(
    'PUT notification',
    'PutBucketNotificationConfiguration',
    notification.putBucketNotification,
    may('PutBucketNotification'),
  ),
  bucket('GET replication', 'GetBucketReplication', unset.getBucketReplication, may('GetReplicationConfiguration')),
  bucket('PUT replication', 'PutBucketReplication', none, may('PutReplicationConfiguration')),
  bucket('DELETE replication', 'DeleteBucketReplication', unset.deleteAbsent, may('PutReplicationConfiguration')),
  bucket('GET requestPayment', 'GetBucketRequestPayment', unset.getBucketRequestPayment),
  bucket('PUT requestPayment', 'PutBucketRequestPayment'),
  bucket(
    'GET accelerate',
    'GetBucketAccelerateConfiguration',
    unset.getBucketAccelerate,
    may('GetAccelerateConfiguration'),
  ),
  bucket('PUT accelerate', 'PutBucketAccelerateConfiguration', none, may('PutAccelerateConfiguration')),
  bucket('GET object-lock', 'GetObjectLockConfiguration', unset.getObjectLock, may('GetBucketObjectLockConfiguration')),
  bucket('PUT object-lock', 'PutObjectLockConfiguration', none, may('PutBucketObjectLockConfiguration')),
  bucket(
    'GET publicAccessBlock',
    'GetPublicAccessBlock',
    block.getPublicAccessBlock,
    may('GetBucketPublicAccessBlock'),
  ),
  bucket(
    'PUT publicAccessBlock',
    'PutPublicAccessBlock',
    block.putPublicAccessBlock,
    may('PutBucketPublicAccessBlock'),
  ),
  bucket(
    'DELETE publicAccessBlock',
    'DeletePublicAccessBlock',
    block.deletePublicAccessBlock,
    may('PutBucketPublicAccessBlock'),
  ),
  bucket('GET ownershipControls', 'GetBucketOwnershipControls', ownership.getOwnershipControls),
  bucket('PUT ownershipControls', 'PutBucketOwnershipControls', ownership.putOwnershipControls),
  bucket(
    'DELETE ownershipControls',
    'DeleteBucketOwnershipControls',
    ownership.deleteOwnershipControls,
    may('PutBucketOwnershipControls'),
  ),

  bucket('GET analytics', 'ListBucketAnalyticsConfigurations', unset.listAnalytics, may('GetAnalyticsConfiguration')),
  bucket(
    'GET analytics&id',
    'GetBucketAnalyticsConfiguration',
    unset.noSuchConfiguration,
    may('GetAnalyticsConfiguration'),
  ),
  bucket('PUT analytics&id', 'PutBucketAnalyticsConfiguration', none, may('PutAnalyticsConfiguration')),
  bucket(
    'DELETE analytics&id',
    'DeleteBucketAnalyticsConfiguration',
    unset.noSuchConfiguration,
    may('PutAnalyticsConfiguration'),
  ),
  bucket('GET inventory', 'ListBucketInventoryConfigurations', unset.listInventory, may('GetInventoryConfiguration')),
  bucket(
    'GET inventory&id',
    'GetBucketInventoryConfiguration',
    unset.noSuchConfiguration,
    may('GetInventoryConfiguration'),
  ),
  bucket('PUT inventory&id', 'PutBucketInventoryConfiguration', none, may('PutInventoryConfiguration')),
  bucket(
    'DELETE inventory&id',
    'DeleteBucketInventoryConfiguration',
    unset.noSuchConfiguration,
    may('PutInventoryConfiguration'),
  ),
  bucket('GET metrics', 'ListBucketMetricsConfigurations', unset.listMetrics, may('GetMetricsConfiguration')),
  bucket('GET metrics&id', 'GetBucketMetricsConfiguration', unset.noSuchConfiguration, may('GetMetricsConfiguration')),
  bucket('PUT metrics&id', 'PutBucketMetricsConfiguration', none, may('PutMetricsConfiguration')),
  bucket(
    'DELETE metrics&id',
    'DeleteBucketMetricsConfiguration',
    unset.noSuchConfiguration,
    may('PutMetricsConfiguration'),
  ),
  bucket(
    'GET intelligent-tiering',
    'ListBucketIntelligentTieringConfigurations',
    unset.listTiering,
    may('GetIntelligentTieringConfiguration'),
  ),
  bucket(
    'GET intelligent-tiering&id',
    'GetBucketIntelligentTieringConfiguration',
    unset.noSuchConfiguration,
    may('GetIntelligentTieringConfiguration'),
  ),
  bucket(
    'PUT intelligent-tiering&id',
    'PutBucketIntelligentTieringConfiguration',
    none,
    may('PutIntelligentTieringConfiguration'),
  ),
  bucket(
    'DELETE intelligent-tiering&id',
    'DeleteBucketIntelligentTieringConfiguration',
    unset.noSuchConfiguration,
    may('PutIntelligentTieringConfiguration'),
  ),
  bucket('GET abac', 'GetBucketAbac', unset.getBucketAbac),
  bucket('PUT abac', 'PutBucketAbac'),
  bucket(
    'GET metadataConfiguration',
    'GetBucketMetadataConfiguration',
    none,
    may('GetBucketMetadataTableConfiguration'),
  ),
  bucket(
    'POST metadataConfiguration',
    'CreateBucketMetadataConfiguration',
    none,
    may('CreateBucketMetadataTableConfiguration'),
  ),
  bucket(
    'DELETE metadataConfiguration',
    'DeleteBucketMetadataConfiguration',
    none,
    may('DeleteBucketMetadataTableConfiguration'),
  ),
  bucket('GET metadataTable', 'GetBucketMetadataTableConfiguration'),
  bucket('POST metadataTable', 'CreateBucketMetadataTableConfiguration'),
  bucket('DELETE metadataTable', 'DeleteBucketMetadataTableConfiguration'),
  bucket('PUT metadataInventoryTable', 'UpdateBucketMetadataInventoryTableConfiguration'),
  bucket('PUT metadataJournalTable', 'UpdateBucketMetadataJournalTableConfiguration'),

  // ---- objects
  object('GET', 'GetObject', getObject, looks),
  object('HEAD', 'HeadObject', headObject, may('GetObject', looks)),
  object('PUT', 'PutObject', putObject, { body: 'stream' }),
  object('PUT', 'CopyObject', copyObject, copies),
  object('DELETE', 'DeleteObject', deleteObject),
  object('OPTIONS', 'OptionsObject', preflight, { open: true }),
  object('GET attributes', 'GetObjectAttributes', getObjectAttributes, { also: 's3:GetObject', ...looks }),
  object('GET acl', 'GetObjectAcl', getObjectAcl, looks),
  object('PUT acl', 'PutObjectAcl', putObjectAcl, looks),
  object('GET tagging', 'GetObjectTagging', getObjectTagging, looks),
  object('PUT tagging', 'PutObjectTagging', putObjectTagging, looks),
  object('DELETE tagging', 'DeleteObjectTagging', deleteObjectTagging, looks),
  object('GET legal-hold', 'GetObjectLegalHold', unset.noObjectLock),
  object('PUT legal-hold', 'PutObjectLegalHold', unset.noObjectLock),
  object('GET retention', 'GetObjectRetention', unset.noObjectLock),
  object('PUT retention', 'PutObjectRetention', unset.noObjectLock),
  object('GET torrent', 'GetObjectTorrent', unset.getObjectTorrent),
  object('POST restore', 'RestoreObject'),
  object('POST select&select-type=2', 'SelectObjectContent', none, may('GetObject')),
  object('PUT renameObject', 'RenameObject', none, may('PutObject', { body: 'none' })),
  object('PUT encryption', 'UpdateObjectEncryption'),

  // ---- multipart uploads
  object('POST uploads', 'CreateMultipartUpload', createMultipartUpload, may('PutObject', { body: 'none' })),
  object('PUT uploadId&partNumber', 'UploadPart', uploadPart, may('PutObject', { body: 'stream' })),
  object('PUT uploadId&partNumber', 'UploadPartCopy', uploadPartCopy, copies),
  object('POST uploadId', 'CompleteMultipartUpload', completeMultipartUpload, may('PutObject')),
  object('DELETE uploadId', 'AbortMultipartUpload', abortMultipartUpload, { uploader: true }),
  object('GET uploadId', 'ListParts', listParts, may('ListMultipartUploadParts', { uploader: true })),
];
