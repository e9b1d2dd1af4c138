/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (general purpose buckets) */
import { S3Error } from '../errors.js';

const shape = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const ipv4 = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const prefixes = ['xn--', 'sthree-'];
const suffixes = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3'];

function isBucketName(name: string): boolean {
  return (
    name.length >= 3 &&
    name.length <= 63 &&
    shape.test(name) &&
    !ipv4.test(name) &&
    !prefixes.some((each) => name.startsWith(each)) &&
    !suffixes.some((each) => name.endsWith(each))
  );
}

/** @throws S3Error InvalidBucketName */
export function checkBucketName(name: string): void {
  if (!isBucketName(name)) throw new S3Error('InvalidBucketName', { fields: { BucketName: name } });
}
