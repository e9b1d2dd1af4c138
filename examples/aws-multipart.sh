#!/bin/bash
# The aws command line on the level of the API: a multipart upload by hand, one that is aborted, a link for curl,
# and the removal of a bucket with everything in it.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-parts-$$}
export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null
work=$(mktemp -d)
cd "$work"

cleanup() {
  [ -n "${TIDEGATE_KEEP:-}" ] || aws --endpoint-url="$endpoint" s3 rb --force "s3://$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

api() { aws --endpoint-url="$endpoint" s3api "$@" --bucket "$bucket"; }

aws --endpoint-url="$endpoint" s3 mb "s3://$bucket"
head -c 12000000 /dev/urandom >whole.bin
split -b 5242880 -d whole.bin part.

echo "== create-multipart-upload, upload-part, list-parts, complete-multipart-upload"
upload=$(api create-multipart-upload --key dir/whole.bin --query UploadId --output text)
number=0
parts=
for file in part.*; do
  number=$((number + 1))
  etag=$(api upload-part --key dir/whole.bin --upload-id "$upload" --part-number $number --body "$file" \
    --query ETag --output text)
  parts="$parts${parts:+,}{ETag=$etag,PartNumber=$number}"
done
api list-parts --key dir/whole.bin --upload-id "$upload" --query 'Parts[].[PartNumber,Size]' --output text
api complete-multipart-upload --key dir/whole.bin --upload-id "$upload" --multipart-upload "Parts=[$parts]"
aws --endpoint-url="$endpoint" s3 cp --quiet "s3://$bucket/dir/whole.bin" back.bin
cmp whole.bin back.bin

echo "== create-multipart-upload … abort-multipart-upload: nothing is left"
upload=$(api create-multipart-upload --key never.bin --query UploadId --output text)
api upload-part --key never.bin --upload-id "$upload" --part-number 1 --body part.00 >/dev/null
api list-multipart-uploads --query 'Uploads[].Key' --output text
api abort-multipart-upload --key never.bin --upload-id "$upload"
left=$(api list-multipart-uploads --query 'Uploads[].Key' --output text)
[ "$left" = None ] || { echo "left over: $left" >&2; exit 1; }

echo "== presign, and curl without any key"
curl -sS --fail "$(aws --endpoint-url="$endpoint" s3 presign "s3://$bucket/dir/whole.bin")" -o curl.bin
cmp whole.bin curl.bin

if [ -z "${TIDEGATE_KEEP:-}" ]; then
  echo "== rb --force"
  aws --endpoint-url="$endpoint" s3 rb --force "s3://$bucket"
  if api head-bucket 2>/dev/null; then
    echo 'the bucket is still there' >&2
    exit 1
  fi
fi
