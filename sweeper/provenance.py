"""Where results come from: the code's git state and the installed packages."""

import platform
import subprocess
from importlib import metadata


def git_state() -> dict[str, str]:
    """Commit, branch and uncommitted changes of the current directory's checkout; empty outside one or without git."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "branch": _git("rev-parse", "--abbrev-ref", "HEAD"), "changes": _git("status", "--short")}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def environment() -> str:
    """Python, platform and every installed distribution with its version, one a line."""
    packages = sorted({f"{found.name}=={found.version}" for found in metadata.distributions()}, key=str.lower)
    return "\n".join([f"# Python {platform.python_version()} on {platform.platform()}", *packages, ""])
