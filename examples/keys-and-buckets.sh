#!/bin/bash
# Accounts, keys and buckets with s3dskey and s3dsbucket, and one bucket seen through both doors.
#
# Run it on the machine that has the filesystem; it works while the gateway runs, and without one.
#   TIDEGATE_ROOT   directory that the gateway serves (default ./data)
#   TIDEGATE_GROUP  group that the account belongs to (default: example)
#   TIDEGATE_KEEP=1 leaves the key and the bucket there to look at
set -euo pipefail

root=${TIDEGATE_ROOT:-./data}
group=${TIDEGATE_GROUP:-example}
bucket=${TIDEGATE_BUCKET:-example-keys-$$}
# In a checkout the commands are `npx s3dskey` and `npx s3dsbucket`; installed they are on the PATH.
cd "$(dirname "$0")/.."
s3dskey() { node dist/gateway/cli/s3dskey.js "$@" --root "$root"; }
s3dsbucket() { node dist/gateway/cli/s3dsbucket.js "$@" --root "$root"; }

echo "== a new account with its key; the secret is shown this once"
s3dskey create --group="$group"

echo "== the same for programs"
created=$(s3dskey create --group="$group" --json)
field() { node -e 'const [, json, name] = process.argv; process.stdout.write(String(JSON.parse(json)[name]))' "$created" "$1"; }
key=$(field accesskey)
uuid=$(field uuid)

cleanup() {
  [ -n "${TIDEGATE_KEEP:-}" ] && return
  rm -f "$root/$uuid/$bucket/from-a-job.txt"
  s3dsbucket delete --key="$key" --bucket="$bucket" >/dev/null 2>&1 || true
  s3dskey delete --key="$key" >/dev/null 2>&1 || true
}
trap cleanup EXIT

echo "== all keys"
s3dskey list

echo "== stop a key, and let it work again: in force at the next request"
s3dskey disable --key="$key"
s3dskey enable --key="$key"

echo "== a new secret; the old one is dead at once"
s3dskey reset --key="$key"

echo "== a bucket: a directory"
s3dsbucket create --key="$key" --bucket="$bucket"
s3dsbucket list
ls -ld "$root/$uuid/$bucket"

echo "== what a job writes there is an object"
echo 'written by a job' >"$root/$uuid/$bucket/from-a-job.txt"

echo "== a bucket is deleted only when it is empty"
if s3dsbucket delete --key="$key" --bucket="$bucket"; then
  echo 'a bucket with an object in it was deleted' >&2
  exit 1
fi
