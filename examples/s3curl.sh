#!/bin/bash
# Upload and download with s3curl (signature version 2).
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
# s3curl reads its keys from ~/.s3curl (mode 0600); here that file lies in a temporary home.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-s3curl-$$}
work=$(mktemp -d)
export HOME=$work
# Debian calls the program s3curl, its own page s3curl.pl.
s3curl=$(command -v s3curl.pl || command -v s3curl)

cleanup() {
  if [ -z "${TIDEGATE_KEEP:-}" ]; then
    "$s3curl" --id=tide --delete -- -sS "$endpoint/$bucket/dir/hello.txt" || true
    "$s3curl" --id=tide --delete -- -sS "$endpoint/$bucket/%E6%B5%B7.txt" || true
    "$s3curl" --id=tide --delete -- -sS "$endpoint/$bucket" || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

cat >"$work/.s3curl" <<KEYS
%awsSecretAccessKeys = (
    tide => { id => '$AWS_ACCESS_KEY_ID', key => '$AWS_SECRET_ACCESS_KEY' },
);
KEYS
chmod 600 "$work/.s3curl"

echo 'hello from s3curl' >"$work/hello.txt"
: >"$work/emptyPayload"

echo "== make a bucket"
"$s3curl" --id=tide --put="$work/emptyPayload" -- -sS --fail "$endpoint/$bucket"

# Names without a directory: s3curl takes each argument with `-X` in it for curl's option, also a path of mktemp's.
cd "$work"

echo "== upload and download a file"
"$s3curl" --id=tide --put="$work/hello.txt" -- -sS --fail "$endpoint/$bucket/dir/hello.txt"
"$s3curl" --id=tide -- -sS --fail "$endpoint/$bucket/dir/hello.txt" --output back.txt
cmp "$work/hello.txt" "$work/back.txt"

echo "== a Japanese name, percent-encoded as curl needs it"
"$s3curl" --id=tide --contentType text/plain --put="$work/hello.txt" -- -sS --fail "$endpoint/$bucket/%E6%B5%B7.txt"
"$s3curl" --id=tide -- -sS --fail "$endpoint/$bucket/%E6%B5%B7.txt" --output back2.txt
cmp "$work/hello.txt" "$work/back2.txt"

echo "== head, and the list"
"$s3curl" --id=tide --head -- -sS --fail "$endpoint/$bucket/dir/hello.txt"
"$s3curl" --id=tide -- -sS --fail "$endpoint/$bucket/?prefix=dir/"
echo
