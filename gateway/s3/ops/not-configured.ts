/**
 * What clients ask about features that no bucket has configured: S3's own answer of an unconfigured bucket, so that
 * they go on. (Each error code: API reference of the operation, "Errors"; error responses, "List of error codes".)
 */
import { type ErrorCode, S3Error } from '../../errors.js';
import type { Context, Handler, Reply, XmlValue } from '../types.js';

function absent(code: ErrorCode): Handler {
  return async ({ bucketName }: Context): Promise<Reply> => {
    throw new S3Error(code, { fields: { BucketName: bucketName } });
  };
}

function document(root: string, value: XmlValue): Handler {
  return async () => ({ body: { xml: { [root]: value } } });
}

export const getBucketCors = absent('NoSuchCORSConfiguration');
export const getBucketLifecycle = absent('NoSuchLifecycleConfiguration');
export const getBucketWebsite = absent('NoSuchWebsiteConfiguration');
export const getBucketEncryption = absent('ServerSideEncryptionConfigurationNotFoundError');
export const getBucketReplication = absent('ReplicationConfigurationNotFoundError');
export const getObjectLock = absent('ObjectLockConfigurationNotFoundError');

export const getBucketVersioning = document('VersioningConfiguration', {});
export const getBucketLogging = document('BucketLoggingStatus', {});
export const getBucketAccelerate = document('AccelerateConfiguration', {});
export const getBucketAbac = document('AbacStatus', { Status: 'Disabled' });
export const getBucketRequestPayment = document('RequestPaymentConfiguration', { Payer: 'BucketOwner' });

/** One bucket has many of these, each with an id. */
const emptyList = (root: string): Handler => document(root, { IsTruncated: false });

export const listAnalytics = emptyList('ListBucketAnalyticsConfigurationResult');
export const listInventory = emptyList('ListInventoryConfigurationsResult');
export const listMetrics = emptyList('ListMetricsConfigurationsResult');
export const listTiering = emptyList('ListBucketIntelligentTieringConfigurationsOutput');
/** Unlike for the configurations without an id, deleting one that is not there is an error. */
export const noSuchConfiguration = absent('NoSuchConfiguration');

/** Reading and writing the lock of an object alike; whether the object exists is not looked at. */
export const noObjectLock: Handler = async () => {
  throw new S3Error('InvalidRequest', { message: 'Bucket is missing Object Lock Configuration' });
};

/** No object has a torrent: AWS gave them up in 2022, and answers this. */
export const getObjectTorrent: Handler = async ({ key }) => {
  throw new S3Error('NoSuchKey', { fields: { Key: key } });
};

/** Deleting a configuration that is not there is no error. */
export const deleteAbsent: Handler = async () => ({ status: 204 });
