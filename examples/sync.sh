#!/bin/bash
# What jobs write into a bucket's directory, and the three ways to have it taken up at once:
# with s3dsbucket on a machine that has the filesystem, with s3curl, and with curl from anywhere.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   TIDEGATE_ROOT          directory that the gateway serves (default ./data)
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-sync-$$}
key=$AWS_ACCESS_KEY_ID
# In a checkout the commands are `npx s3dsbucket` and `npx tidegate`; installed they are on the PATH.
cd "$(dirname "$0")/.."
root=$(realpath "${TIDEGATE_ROOT:-./data}")
s3dsbucket() { node dist/gateway/cli/s3dsbucket.js "$@" --root "$root"; }
tidegate() { node dist/gateway/cli/tidegate.js "$@" --root "$root"; }
# Debian calls the program s3curl, its own page s3curl.pl.
s3curl=$(command -v s3curl.pl || command -v s3curl)

work=$(mktemp -d)
export HOME=$work
cleanup() {
  if [ -z "${TIDEGATE_KEEP:-}" ]; then
    s3dsbucket delete --key="$key" --bucket="$bucket" --force --yes-delete "$bucket" >/dev/null 2>&1 || true
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

echo "== a bucket, and where its files lie"
s3dsbucket create --key="$key" --bucket="$bucket"
dir=$(s3dsbucket list --key="$key" --json | node -pe '
  JSON.parse(require("fs").readFileSync(0)).find(({ Name }) => Name === process.argv[1]).Path' "$bucket")

echo "== a job writes there"
mkdir -p "$dir/run1"
echo 42 >"$dir/run1/answer.txt"
echo log >"$dir/run1/log.txt"

echo "== what a sync would do, and the sync"
s3dsbucket sync --key="$key" --bucket="$bucket" --dry-run
s3dsbucket sync --key="$key" --bucket="$bucket"

echo "== the job goes on; the same through S3, with s3curl"
echo 43 >"$dir/run1/answer.txt"
rm "$dir/run1/log.txt"
: >"$work/emptyPayload"
"$s3curl" --id=tide --put="$work/emptyPayload" -- -sS --fail "$endpoint/$bucket?sync" -H "x-ddn-bucket-sync-ops:WRITE,UPDATE,DELETE"
echo

echo "== with curl: an XML body, and where it stands"
echo 44 >"$dir/run1/more.txt"
# curl 7.88 of Debian 12 signs without the header that S3 asks for.
sign=(--aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"
  -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD')
curl -sS --fail "${sign[@]}" -X PUT "$endpoint/$bucket?sync=" \
  --data '<operation><operationTypes>WRITE,UPDATE</operationTypes><prefix>run1/</prefix></operation>'
echo
curl -sS --fail "${sign[@]}" "$endpoint/$bucket?sync="
echo
tidegate sync status --bucket="$bucket"

echo "== how much there is, and a list of it"
tidegate usage --bucket="$bucket"
tidegate inventory --bucket="$bucket" --out "$work/list.csv.gz"
gunzip -c "$work/list.csv.gz"
