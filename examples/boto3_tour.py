#!/usr/bin/env python3
"""boto3: upload and download files, list with the client, the resource, and list_objects_v2.

  TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
  TIDEGATE_KEEP=1        leaves the bucket there to look at
"""
import filecmp
import os
import tempfile

import boto3

endpoint = os.environ.get('TIDEGATE_ENDPOINT', 'http://127.0.0.1:9000')
bucket = os.environ.get('TIDEGATE_BUCKET', f'example-boto3-{os.getpid()}')
# Any region does; boto3 insists on one.
session = boto3.session.Session(region_name='us-east-1')
client = session.client('s3', endpoint_url=endpoint)
resource = session.resource('s3', endpoint_url=endpoint)

client.create_bucket(Bucket=bucket)
try:
    with tempfile.TemporaryDirectory() as work:
        # 20 MiB goes up in parts and comes back in ranges: upload_file and download_file decide that themselves.
        small, large, back = (os.path.join(work, name) for name in ('small', 'large', 'back'))
        with open(small, 'w', encoding='utf-8') as file:
            file.write('hello from boto3\n')
        with open(large, 'wb') as file:
            file.write(os.urandom(20 * 1024 * 1024))

        keys = {'small.txt': small, 'dir/large.bin': large, 'データ/観測 + 100%.txt': small}
        for key, path in keys.items():
            client.upload_file(path, bucket, key, ExtraArgs={'Metadata': {'origin': 'boto3'}})
            client.download_file(bucket, key, back)
            assert filecmp.cmp(path, back, shallow=False), key
            head = client.head_object(Bucket=bucket, Key=key)
            assert head['Metadata'] == {'origin': 'boto3'}, head
            print(key, head['ContentLength'], head['ETag'])

        expected = sorted(keys, key=lambda key: key.encode())

        listed = [entry['Key'] for entry in client.list_objects(Bucket=bucket)['Contents']]
        assert listed == expected, listed

        listed = [entry.key for entry in resource.Bucket(bucket).objects.all()]
        assert listed == expected, listed

        # Small pages on purpose: every page size gives the same list.
        pages = client.get_paginator('list_objects_v2').paginate(Bucket=bucket, PaginationConfig={'PageSize': 1})
        listed = [entry['Key'] for page in pages for entry in page.get('Contents', [])]
        assert listed == expected, listed

        page = client.list_objects_v2(Bucket=bucket, Delimiter='/')
        assert [entry['Prefix'] for entry in page['CommonPrefixes']] == ['dir/', 'データ/'], page
finally:
    if not os.environ.get('TIDEGATE_KEEP'):
        resource.Bucket(bucket).objects.all().delete()
        client.delete_bucket(Bucket=bucket)
