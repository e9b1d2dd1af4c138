#!/bin/bash
# s3cmd: --configure with its access test, then sync.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
# Your own ~/.s3cfg is not touched.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-s3cmd-$$}
host=${endpoint#*://}
https=No
[ "${endpoint%%://*}" = https ] && https=Yes
work=$(mktemp -d)
config=$work/s3cfg
key=$AWS_ACCESS_KEY_ID
secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
s3cmd() { command s3cmd --no-progress -c "$config" "$@"; }

cleanup() {
  [ -n "${TIDEGATE_KEEP:-}" ] || s3cmd rb --recursive --force "s3://$bucket" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "== s3cmd --configure: the answers as a person would type them"
# Access Key, Secret Key, Default Region, S3 Endpoint, bucket template (the host alone: path style),
# encryption password, path to GPG, use HTTPS, HTTP proxy; then: test access? y, save settings? y
if [ "$https" = No ]; then
  answers=("$key" "$secret" '' "$host" "$host" '' '' "$https" '' y y)
else
  answers=("$key" "$secret" '' "$host" "$host" '' '' "$https" y y)
fi
printf '%s\n' "${answers[@]}" | s3cmd --configure | tee "$work/configure.txt" | grep -iE 'success|error|fail' || true
grep -q 'Success. Your access key and secret key worked fine' "$work/configure.txt"

s3cmd mb "s3://$bucket"

mkdir -p "$work/tree/sub"
cd "$work/tree"
echo 1 >one.txt
echo 2 >sub/two.txt
echo 3 >'三つ 目.txt'

echo "== sync up, as in a cron job; then with nothing left to do"
s3cmd sync -r --skip-existing . "s3://$bucket/"
s3cmd sync -r . "s3://$bucket/" | tee "$work/again.txt"
if grep -q '^upload:' "$work/again.txt"; then
  echo 'uploaded again' >&2
  exit 1
fi

echo "== --skip-existing leaves what is there alone"
echo changed >one.txt
s3cmd sync -r --skip-existing . "s3://$bucket/"
[ "$(s3cmd get "s3://$bucket/one.txt" - --quiet)" = 1 ]

echo "== a large file goes up in parts"
head -c 17000000 /dev/urandom >"$work/large.bin"
s3cmd put --multipart-chunk-size-mb=5 "$work/large.bin" "s3://$bucket/large.bin" >/dev/null
s3cmd get "s3://$bucket/large.bin" "$work/large.back" >/dev/null
cmp "$work/large.bin" "$work/large.back"

echo "== sync down, list, info"
s3cmd sync -r --exclude large.bin "s3://$bucket/" "$work/down/"
cmp "$work/tree/sub/two.txt" "$work/down/sub/two.txt"
s3cmd ls -r "s3://$bucket/"
s3cmd info "s3://$bucket/sub/two.txt"
