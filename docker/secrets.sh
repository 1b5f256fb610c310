#!/usr/bin/env bash
# Makes what is missing of the secrets that compose.yaml names, in the folder given or in `secrets` beside this file.
# Containers run as users of their own and must read these files: the folder is what keeps others out.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { # NAME: what stdin says, unless it is there already
    if [ -s "$folder/$1" ]; then cat >/dev/null; else cat >"$folder/$1"; fi
}

for name in postgres_password mlflow_password mlflow_session_key ray_token; do
    random | keep "$name"
done
keep mlflow_credentials <<END
[mlflow]
mlflow_tracking_username = admin
mlflow_tracking_password = $(cat "$folder/mlflow_password")
END
keep s3_credentials <<END
[default]
aws_access_key_id = sweeper
aws_secret_access_key = $(random)
END
key=$(sed -n 's/^aws_secret_access_key = //p' "$folder/s3_credentials")
keep s3_identities <<END
{"identities": [{
  "name": "sweeper",
  "credentials": [{"accessKey": "sweeper", "secretKey": "$key"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]
}]}
END
echo "$folder: $(find "$folder" -type f | wc -l) secrets"
