#!/bin/bash
# The MinIO client: alias, cp, ls, stat, and a hash kept as metadata.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
# Your own ~/.mc is not touched.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-mc-$$}
work=$(mktemp -d)
export MC_CONFIG_DIR=$work/mc MC_DISABLE_PAGER=1
cd "$work"

cleanup() {
  [ -n "${TIDEGATE_KEEP:-}" ] || mc -q rb --force "tide/$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

mc -q alias set tide "$endpoint" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
mc -q mb "tide/$bucket"

echo 'hello from mc' >test.txt
mc -q cp test.txt "tide/$bucket"
mc -q ls "tide/$bucket"
mc -q cat "tide/$bucket/test.txt" | cmp - test.txt

echo "== a hash that mc computes, and one that you give"
sum=$(sha256sum test.txt | cut -f1 -d' ')
mc -q cp --md5 test.txt "tide/$bucket/hashed.txt" --attr "checksum-sha256=$sum"
mc -q stat "tide/$bucket/hashed.txt" | tee stat.txt
grep -qi "checksum-sha256.*$sum" stat.txt

echo "== a directory, mirrored, with a Japanese name"
mkdir -p tree/データ
cp test.txt tree/データ/観測.txt
mc -q mirror tree "tide/$bucket/tree"
mc -q ls --recursive "tide/$bucket"
mc -q cat "tide/$bucket/tree/データ/観測.txt" | cmp - test.txt
