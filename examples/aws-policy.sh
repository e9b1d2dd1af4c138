#!/bin/bash
# What the aws command line asks about a bucket's access. For now every bucket belongs to its owner alone:
# there is no policy, and the ACL gives the owner everything.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-policy-$$}
export AWS_DEFAULT_REGION=osakau AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null
work=$(mktemp -d)

cleanup() {
  aws --endpoint-url="$endpoint" s3 rb --force "s3://$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

aws --endpoint-url="$endpoint" s3 mb "s3://$bucket"
echo 'mine' >"$work/mine.txt"
aws --endpoint-url="$endpoint" s3 cp "$work/mine.txt" "s3://$bucket/"

echo "== get-bucket-policy: there is none"
if message=$(aws --endpoint-url="$endpoint" s3api get-bucket-policy --bucket "$bucket" 2>&1); then
  echo 'a policy where none was set' >&2
  exit 1
fi
echo "$message"
grep -q NoSuchBucketPolicy <<<"$message"

echo "== the ACLs"
aws --endpoint-url="$endpoint" s3api get-bucket-acl --bucket "$bucket"
aws --endpoint-url="$endpoint" s3api get-object-acl --bucket "$bucket" --key mine.txt

echo "== an ACL that would open the bucket is refused, not stored and ignored"
if message=$(aws --endpoint-url="$endpoint" s3api put-bucket-acl --bucket "$bucket" --acl authenticated-read 2>&1); then
  echo 'the ACL was accepted' >&2
  exit 1
fi
echo "$message"
grep -q NotImplemented <<<"$message"
