#!/usr/bin/env bash
# MLflow's server with users and passwords: runs and users in PostgreSQL, files on S3. Passwords come from files, and reach
# libpq and MLflow by the environment of this process alone; no command line and no `docker inspect` shows them.
set -euo pipefail
secrets=${SECRETS:-/run/secrets}
PGPASSWORD=$(cat "$secrets/postgres_password")
MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$secrets/mlflow_password")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$secrets/mlflow_session_key")
export PGPASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY

# A proxy with TLS passes its host on, and browsers name it as the origin of what they send.
proxies=${MLFLOW_PROXY_HOSTS:-}
proxies=${proxies// /}
if [ -n "$proxies" ]; then
    MLFLOW_HOSTS=$MLFLOW_HOSTS,$proxies
    export MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=https://${proxies//,/,https://}
fi

# The workers would each migrate a new database, at once, and fail; so it is done before they start.
python "$(dirname "$0")/migrate.py"
# A worker is not killed for being slow: uvicorn would by default after five seconds.
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers "${MLFLOW_WORKERS:-2}" \
    --uvicorn-opts "--timeout-worker-healthcheck 60" \
    --backend-store-uri postgresql+psycopg:// --artifacts-destination "$MLFLOW_ARTIFACTS" --allowed-hosts "$MLFLOW_HOSTS"
