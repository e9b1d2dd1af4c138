#!/bin/bash
# Users of a group, their keys, policies and policy groups, as the manager of the group sees to them with `aws iam`.
#
#   TIDEGATE_ENDPOINT      e.g. http://127.0.0.1:9000
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY              of a manager (tidegate account update NAME --kind manager)
set -euo pipefail

endpoint=${TIDEGATE_ENDPOINT:-http://127.0.0.1:9000}
name=${TIDEGATE_USER:-example-$$}
bucket=${TIDEGATE_BUCKET:-example-iam-$$}
export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null
export AWS_ENDPOINT_URL=$endpoint
work=$(mktemp -d)
arn=

refused() {
  local code=$1 message
  shift
  if message=$("$@" 2>&1); then
    echo "this should have been refused: $*" >&2
    exit 1
  fi
  grep -q "$code" <<<"$message" || { echo "not $code but: $message" >&2; exit 1; }
  echo "$code, as it should be"
}
as_user() {
  AWS_ACCESS_KEY_ID=$user_key AWS_SECRET_ACCESS_KEY=$user_secret "$@"
}
cleanup() {
  {
    aws iam remove-user-from-group --group-name "$name-lab" --user-name "$name"
    aws iam delete-group-policy --group-name "$name-lab" --policy-name read
    aws iam delete-group --group-name "$name-lab"
    aws iam detach-user-policy --user-name "$name" --policy-arn "$arn"
    aws iam delete-policy --policy-arn "$arn"
    aws iam delete-access-key --user-name "$name" --access-key-id "$user_key"
    aws iam delete-user --user-name "$name"
    aws s3 rb --force "s3://$bucket"
  } >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "== who am I, and who is in my group"
aws iam get-user --query User.Arn --output text
aws iam list-users --query 'Users[].UserName' --output text

echo "== a user and its key"
aws iam create-user --user-name "$name" --query User.Arn --output text
read -r user_key user_secret < <(aws iam create-access-key --user-name "$name" \
  --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
as_user aws iam get-user --query User.UserName --output text

echo "== it may do nothing yet"
echo 'results' >"$work/results.txt"
aws s3 mb "s3://$bucket"
aws s3 cp "$work/results.txt" "s3://$bucket/"
refused AccessDenied as_user aws s3 ls "s3://$bucket/"

echo "== a group, with a policy that reads"
cat >"$work/read.json" <<END
{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],
    "Resource": ["arn:aws:s3:::$bucket", "arn:aws:s3:::$bucket/*"]
  }
}
END
aws iam create-group --group-name "$name-lab" --query Group.Arn --output text
aws iam put-group-policy --group-name "$name-lab" --policy-name read --policy-document "file://$work/read.json"
aws iam add-user-to-group --group-name "$name-lab" --user-name "$name"
aws iam list-groups-for-user --user-name "$name" --query 'Groups[].GroupName' --output text
as_user aws s3 cp "s3://$bucket/results.txt" -
refused AccessDenied as_user aws s3 cp "$work/results.txt" "s3://$bucket/more.txt"

echo "== a policy that denies wins"
cat >"$work/no-list.json" <<END
{ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*" } }
END
arn=$(aws iam create-policy --policy-name "$name-no-list" --policy-document "file://$work/no-list.json" \
  --query Policy.Arn --output text)
aws iam attach-user-policy --user-name "$name" --policy-arn "$arn"
aws iam list-attached-user-policies --user-name "$name" --query 'AttachedPolicies[].PolicyArn' --output text
refused AccessDenied as_user aws s3 ls "s3://$bucket/"
refused DeleteConflict aws iam delete-policy --policy-arn "$arn"

echo "== what would not be evaluated is refused, not stored and ignored"
sed 's/"Action"/"Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } }, "Action"/' \
  "$work/no-list.json" >"$work/more.json"
refused MalformedPolicyDocument aws iam put-user-policy --user-name "$name" --policy-name more \
  --policy-document "file://$work/more.json"
