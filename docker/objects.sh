#!/bin/sh
# Makes the bucket private and a key that may use it and nothing else. Every step may be repeated.
#
# A user with a policy rather than a service account: in this MinIO release a service account can widen its own rights
# (CVE-2025-62506).
set -eu
policy=${TMPDIR:-/tmp}/policy.json

mc alias set objects "$ENDPOINT" "$ROOT_USER" "$ROOT_PASSWORD" >/dev/null
mc mb --ignore-existing "objects/$BUCKET"
mc anonymous set none "objects/$BUCKET"

cat >"$policy" <<POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
      "Resource": ["arn:aws:s3:::$BUCKET"]
    },
    {
      "Effect": "Allow",
      "Action": [
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts"
      ],
      "Resource": ["arn:aws:s3:::$BUCKET/*"]
    }
  ]
}
POLICY
mc admin policy create objects understudy "$policy"
mc admin user add objects "$ACCESS_KEY" "$SECRET_KEY"
# Attaching what is attached already is an error that says so.
if ! said=$(mc admin policy attach objects understudy --user "$ACCESS_KEY" 2>&1); then
	case $said in
	*already*) ;;
	*)
		echo "$said" >&2
		exit 1
		;;
	esac
fi
# The key is what counts: with a wrong one everything after this would fail.
mc alias set key "$ENDPOINT" "$ACCESS_KEY" "$SECRET_KEY" >/dev/null
mc ls "key/$BUCKET" >/dev/null
echo "The bucket $BUCKET is ready."
