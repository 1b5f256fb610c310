"""The address of a tracking store, as far as it shows by itself whether MLflow knows such a store."""

import os
import re
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from sweeper.text.redaction import names_host, without_password

SERVERS, DATABASES = ("http", "https"), ("sqlite", "postgresql", "mysql", "mssql")
OTHERS = ("databricks", "databricks-uc", "uc")
FOLDERS = "MLFLOW_ALLOW_FILE_STORE"  # MLflow's own leave to keep runs in folders, as it did once
PLUGINS = "mlflow.tracking_store"  # the group of entry points of those that bring stores of their own
ALLOWED = "http://HOST:PORT, sqlite:///PATH, or postgresql://, mysql:// or mssql:// with user, host and database"


def wrong_address(uri: str) -> str | None:
    """What is wrong with a store's address and what to write, without its password; None where MLflow may know it."""
    scheme = re.match(r"([A-Za-z][\w.-]*)(\+\w+)?:", uri)
    kind = scheme[1].lower() if scheme else ""
    told = f'given "{without_password(uri)}", '
    if names_host(uri) and re.search(r"\s", uri):
        return f"{told}which has spaces in it; write each of them as %20"
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        return f"{told}write http://{uri} for a server"
    if kind in SERVERS and not _host(uri):
        return f"{told}which names no server; write http://HOST:PORT"
    if kind == "sqlite" and not re.match(r"sqlite(\+\w+)?:///.", uri):
        return f"{told}write sqlite:///PATH with three slashes, and a fourth for a path from the root"
    if kind == "file" or (not kind and uri not in OTHERS):
        if os.environ.get(FOLDERS, "").lower() in ("true", "1"):
            return None
        return f"{told}which is a folder, and MLflow takes databases; write sqlite:///PATH/mlflow.db, or set {FOLDERS}=true"
    is_known = kind in ("", *SERVERS, *DATABASES, *OTHERS) or bool(entry_points(group=PLUGINS, name=kind))
    return None if is_known else f"{told}which is no store that MLflow knows; allowed {ALLOWED}"


def _host(uri: str) -> str | None:
    try:
        return urlsplit(uri).hostname
    except ValueError:  # half an IPv6 address
        return None
