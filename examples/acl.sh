#!/bin/bash
# Sharing a bucket: ACLs of buckets and objects, a bucket policy, and what those who are let in can do.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY              who shares
#   TIDEGATE_OTHER_ID                                     uuid of the account to share with
#   TIDEGATE_OTHER_KEY_ID, TIDEGATE_OTHER_SECRET_KEY      its key
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-acl-$$}
UUID=${TIDEGATE_OTHER_ID:?the uuid of a second account, as s3dskey list shows it}
export AWS_DEFAULT_REGION=osakau AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null
export AWS_ENDPOINT_URL=$endpoint
work=$(mktemp -d)

other() {
  AWS_ACCESS_KEY_ID=$TIDEGATE_OTHER_KEY_ID AWS_SECRET_ACCESS_KEY=$TIDEGATE_OTHER_SECRET_KEY "$@"
}
# What must not work, and with which answer.
refused() {
  local code=$1 message
  shift
  if message=$("$@" 2>&1); then
    echo "this should have been refused: $*" >&2
    exit 1
  fi
  grep -q -E "$code" <<<"$message" || { echo "not $code but: $message" >&2; exit 1; }
  echo "$code, as it should be"
}
cleanup() {
  aws s3api delete-bucket-policy --bucket "$bucket" >/dev/null 2>&1 || true
  aws s3 rb --force "s3://$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

aws s3 mb "s3://$bucket"
echo 'shared' >"$work/shared.txt"
aws s3 cp "$work/shared.txt" "s3://$bucket/"
aws s3 cp "$work/shared.txt" "s3://$bucket/data/"

echo "== at first nobody else can do anything"
refused AccessDenied other aws s3api list-objects-v2 --bucket "$bucket"
refused 403 curl -sSf "$endpoint/$bucket/shared.txt"

echo "== everybody with a key may list"
aws s3api put-bucket-acl --bucket "$bucket" --acl authenticated-read
aws s3api get-bucket-acl --bucket "$bucket"
other aws s3 ls "s3://$bucket/"
refused 403 curl -sSf "$endpoint/$bucket/"

echo "== one object for the whole world"
aws s3api put-object-acl --bucket "$bucket" --key shared.txt --acl public-read
curl -sSf "$endpoint/$bucket/shared.txt"
refused 403 curl -sSf "$endpoint/$bucket/data/shared.txt"

echo "== a grant to one account"
aws s3api put-object-acl --bucket "$bucket" --key shared.txt --grant-write id=$UUID
aws s3api get-object-acl --bucket "$bucket" --key shared.txt
aws s3api put-bucket-acl --bucket "$bucket" --grant-write id=$UUID
other aws s3 cp "$work/shared.txt" "s3://$bucket/from-the-other.txt" --acl bucket-owner-full-control

echo "== no policy yet"
refused NoSuchBucketPolicy aws s3api get-bucket-policy --bucket "$bucket"

echo "== a policy: the account may read everything below data/"
cat >"$work/policy.json" <<END
{
  "Version": "2012-10-17",
  "Statement": [{
    "Sid": "Readers", "Effect": "Allow", "Principal": { "DDN": ["$UUID"] },
    "Action": "s3:GetObject", "Resource": "arn:aws:s3:::$bucket/data/*"
  }]
}
END
aws s3api put-bucket-policy --bucket "$bucket" --policy "file://$work/policy.json"
aws s3api get-bucket-policy --bucket "$bucket" --query Policy --output text
aws s3api get-bucket-policy-status --bucket "$bucket"
other aws s3 cp "s3://$bucket/data/shared.txt" -
refused 403 curl -sSf "$endpoint/$bucket/data/shared.txt"

echo "== what would not be evaluated is refused, not stored and ignored"
sed 's/"Action"/"Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } }, "Action"/' \
  "$work/policy.json" >"$work/more.json"
refused MalformedPolicy aws s3api put-bucket-policy --bucket "$bucket" --policy "file://$work/more.json"
