#!/bin/bash
# The aws command line: configure, then cp, ls, mb, mv, presign, rb, rm, sync, website.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_REGION        what to answer at "Default region name": may be empty, osakau, us-east-1, anything
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
# Your own ~/.aws is not touched: the configuration lies in a temporary directory.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
region=${TIDEGATE_REGION-osakau}
bucket=${TIDEGATE_BUCKET:-example-aws-$$}
key=$AWS_ACCESS_KEY_ID
secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE
work=$(mktemp -d)
export AWS_CONFIG_FILE=$work/config AWS_SHARED_CREDENTIALS_FILE=$work/credentials
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER=

cleanup() {
  [ -n "${TIDEGATE_KEEP:-}" ] || aws --endpoint-url="$endpoint" s3 rb --force "s3://$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "== aws configure (Default region name: '$region', Default output format: none)"
printf '%s\n' "$key" "$secret" "$region" '' | aws configure >/dev/null

cd "$work"
echo 'hello' >hello.txt
mkdir -p tree/sub 'tree/日本語 フォルダ'
echo 1 >tree/one.txt
echo 2 >tree/sub/two.txt
echo 3 >'tree/日本語 フォルダ/三つ + 100%.txt'

echo "== mb"
aws --endpoint-url="$endpoint" s3 mb "s3://$bucket"

echo "== cp, up and down"
aws --endpoint-url="$endpoint" s3 cp hello.txt "s3://$bucket/hello.txt"
aws --endpoint-url="$endpoint" s3 cp "s3://$bucket/hello.txt" back.txt
cmp hello.txt back.txt
aws --endpoint-url="$endpoint" s3 cp "s3://$bucket/hello.txt" "s3://$bucket/copy.txt"

echo "== mv"
aws --endpoint-url="$endpoint" s3 mv "s3://$bucket/copy.txt" "s3://$bucket/moved.txt"

echo "== sync, up and down; the second time nothing is left to do"
aws --endpoint-url="$endpoint" s3 sync tree "s3://$bucket/tree/"
again=$(aws --endpoint-url="$endpoint" s3 sync tree "s3://$bucket/tree/")
[ -z "$again" ] || { echo "synced again: $again" >&2; exit 1; }
aws --endpoint-url="$endpoint" s3 sync "s3://$bucket/tree/" tree-back
diff -r tree tree-back
rm tree/one.txt
aws --endpoint-url="$endpoint" s3 sync --delete tree "s3://$bucket/tree/"

echo "== ls"
aws --endpoint-url="$endpoint" s3 ls
aws --endpoint-url="$endpoint" s3 ls "s3://$bucket/"
aws --endpoint-url="$endpoint" s3 ls --recursive --summarize "s3://$bucket/"

echo "== presign, fetched by curl without any key"
url=$(aws --endpoint-url="$endpoint" s3 presign "s3://$bucket/hello.txt" --expires-in 300)
curl -sS --fail "$url" -o presigned.txt
cmp hello.txt presigned.txt

echo "== website: not there yet, and it says so"
if message=$(aws --endpoint-url="$endpoint" s3 website "s3://$bucket/" --index-document index.html 2>&1); then
  echo 'website was accepted although nothing serves it' >&2
  exit 1
fi
echo "$message"
grep -q NotImplemented <<<"$message"

echo "== rm, rb"
aws --endpoint-url="$endpoint" s3 rm "s3://$bucket/moved.txt"
if aws --endpoint-url="$endpoint" s3 rb "s3://$bucket" 2>/dev/null; then
  echo 'a bucket with objects in it was deleted' >&2
  exit 1
fi
