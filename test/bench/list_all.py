"""Lists a bucket completely through boto3 and checks order and completeness. Prints one JSON line.

Arguments: endpoint bucket expected-count [prefix]. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""
import hashlib
import json
import sys
import time

import boto3
from botocore.config import Config

endpoint, bucket, expected = sys.argv[1], sys.argv[2], int(sys.argv[3])
prefix = sys.argv[4] if len(sys.argv) > 4 else ''
client = boto3.client('s3', endpoint_url=endpoint, region_name='us-east-1', config=Config(retries={'max_attempts': 1}))

started = time.monotonic()
first = None
slowest = 0.0
count = 0
previous = b''
digest = hashlib.sha256()
token = {}
while True:
    asked = time.monotonic()
    page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **token)
    took = time.monotonic() - asked
    first = took if first is None else first
    slowest = max(slowest, took)
    for entry in page.get('Contents', []):
        key = entry['Key'].encode()
        # Strictly ascending bytes: right order and nothing twice.
        if key <= previous:
            sys.exit(f'order: {previous!r} before {key!r}')
        previous = key
        digest.update(key + b'\n')
        count += 1
    if not page['IsTruncated']:
        break
    token = {'ContinuationToken': page['NextContinuationToken']}

if count != expected:
    sys.exit(f'{count} keys listed, {expected} expected')
print(json.dumps({
    'keys': count,
    'seconds': round(time.monotonic() - started, 1),
    'firstPageSeconds': round(first, 3),
    'slowestPageSeconds': round(slowest, 3),
    'sha256': digest.hexdigest(),
}))
