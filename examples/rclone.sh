#!/bin/bash
# rclone with provider=Other: one remote with signature version 4, one with version 2 (region other-v2-signature).
# Sync up, down, and between the two, Japanese names included.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the two buckets there to look at
# Your own rclone.conf is not touched.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-rclone-$$}
work=$(mktemp -d)
export RCLONE_CONFIG=$work/rclone.conf

cleanup() {
  if [ -z "${TIDEGATE_KEEP:-}" ]; then
    rclone purge "tide4:$bucket" 2>/dev/null || true
    rclone purge "tide2:$bucket-b" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

for version in 4 2; do
  region=us-east-1
  [ "$version" = 2 ] && region=other-v2-signature
  rclone config create "tide$version" s3 provider=Other env_auth=false \
    access_key_id="$AWS_ACCESS_KEY_ID" secret_access_key="$AWS_SECRET_ACCESS_KEY" \
    region="$region" endpoint="$endpoint" >/dev/null
done

mkdir -p "$work/tree/データ/2024年" "$work/tree/plain"
echo 'one' >"$work/tree/plain/one.txt"
echo '二' >"$work/tree/データ/2024年/観測 +1 100%.txt"
head -c 6000000 /dev/urandom >"$work/tree/データ/大きい.bin"

for remote in tide4 tide2; do
  name=$bucket
  [ "$remote" = tide2 ] && name=$bucket-b
  echo "== $remote: make the bucket, sync up, compare, sync down"
  rclone mkdir "$remote:$name"
  rclone sync "$work/tree" "$remote:$name/up"
  rclone check "$work/tree" "$remote:$name/up"
  rclone sync "$remote:$name/up" "$work/down-$remote"
  diff -r "$work/tree" "$work/down-$remote"
  # rclone keeps a file's time in its metadata: the second sync has nothing to do.
  again=$(rclone sync --dry-run "$work/tree" "$remote:$name/up" 2>&1 | grep -c 'Skipped copy' || true)
  [ "$again" = 0 ] || { echo "$again files would be copied again" >&2; exit 1; }
done

echo "== between the two remotes, both directions"
rclone sync "tide4:$bucket/up" "tide2:$bucket-b/from-4"
rclone check "tide4:$bucket/up" "tide2:$bucket-b/from-4"
rclone sync "tide2:$bucket-b/up" "tide4:$bucket/from-2"
rclone check "tide2:$bucket-b/up" "tide4:$bucket/from-2"

echo "== sync deletes what is gone"
rm "$work/tree/plain/one.txt"
rclone sync "$work/tree" "tide4:$bucket/up"
rclone lsf -R "tide4:$bucket"
