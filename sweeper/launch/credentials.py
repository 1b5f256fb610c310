"""What reaches the storage, from the driver's environment to the nodes'."""

import os

# Tune would hand the first of these to workers in a way that Ray writes into its logs, so they get them as an argument.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
PLACES = ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


def credentials() -> dict[str, str]:
    return {name: os.environ[name] for name in (*SECRETS, *PLACES) if name in os.environ}
