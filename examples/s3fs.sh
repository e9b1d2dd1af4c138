#!/bin/bash
# A bucket mounted with s3fs. (On a machine that has the filesystem itself there is no need to: the bucket is a directory.)
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#   TIDEGATE_KEEP=1        leaves the bucket there to look at
# Needs /dev/fuse and the right to mount; ends with code 77 where that is not given.
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
bucket=${TIDEGATE_BUCKET:-example-s3fs-$$}
work=$(mktemp -d)
export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null
dir=$work/mount

if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
  echo 'no access to /dev/fuse: a bucket cannot be mounted here' >&2
  rm -rf "$work"
  exit 77
fi

cleanup() {
  if mountpoint -q "$dir"; then
    fusermount -u "$dir" || fusermount -uz "$dir" || true
  fi
  [ -n "${TIDEGATE_KEEP:-}" ] || aws --endpoint-url="$endpoint" s3 rb --force "s3://$bucket" >/dev/null 2>&1 || true
  # Never into a mount that could not be taken down.
  mountpoint -q "$dir" || rm -rf "$work"
}
trap cleanup EXIT

aws --endpoint-url="$endpoint" s3 mb "s3://$bucket"
mkdir "$dir"
(umask 077 && echo "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" >"$work/passwd")

# s3fs prefers its environment to the file, and complains of both.
env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY \
  s3fs "$bucket" "$dir" -o url="$endpoint" -o use_path_request_style -o passwd_file="$work/passwd"
for _ in $(seq 50); do
  mountpoint -q "$dir" && break
  sleep 0.1
done
mountpoint -q "$dir"

echo "== files and directories through the mount"
mkdir "$dir/folder" "$dir/日本語"
echo 'written through s3fs' >"$dir/folder/file.txt"
echo '三' >"$dir/日本語/三.txt"
cat "$dir/folder/file.txt"
mv "$dir/folder/file.txt" "$dir/folder/renamed.txt"
ls -lR "$dir"

echo "== the same through S3"
aws --endpoint-url="$endpoint" s3 cp "s3://$bucket/folder/renamed.txt" -
aws --endpoint-url="$endpoint" s3 ls --recursive "s3://$bucket/"

echo "== what S3 uploads is seen through the mount"
echo 'uploaded' | aws --endpoint-url="$endpoint" s3 cp - "s3://$bucket/uploaded.txt"
[ "$(cat "$dir/uploaded.txt")" = uploaded ]
