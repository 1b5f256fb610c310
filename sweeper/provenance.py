"""Where results come from: the code's git state and the installed packages."""

import platform
import subprocess
from importlib import metadata

from sweeper.store import Sweep
from sweeper.versions import told_versions


def git_state() -> dict[str, str]:
    """Commit, branch and uncommitted changes of the current directory's checkout; empty outside one or without git."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "branch": _git("rev-parse", "--abbrev-ref", "HEAD"), "changes": _git("status", "--short")}


def note_code(sweep: Sweep) -> str:
    """Keep, in the sweep folder's `code.json`, by which code and versions its trials run, if that is new.

    Returns what is to be said of it: nothing, unless earlier trials ran by other code.
    """
    git = git_state()
    commit = f", commit {git['commit'][:12]}{' with uncommitted changes' if git['changes'] else ''}" if git else ""
    known, code = codes(sweep), f"{told_versions()}{commit}"
    if code in known:
        return ""
    sweep.folder.write_json("code.json", {"code": [*known, code]})
    return f"this sweep began with {known[0]}; now it goes on with {code}: their results may differ" if known else ""


def codes(sweep: Sweep) -> list[str]:
    """What `note_code` kept: "sweeper 0.1.0 (code 0123abcd), torch 2.15.0, ..., commit 0123456789ab", from the first run on."""
    return sweep.folder.parsed("code.json", _codes) if sweep.folder.exists("code.json") else []


def _codes(noted: dict[str, list[str]]) -> list[str]:
    known = noted["code"]
    if not isinstance(known, list) or not all(isinstance(code, str) for code in known):
        raise ValueError(f"it has {noted}")
    return known


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
