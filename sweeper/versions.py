"""The versions of what decodes images and computes trials, told without importing any of it."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import sweeper

HOME = Path(sweeper.__file__).parent.parent
COMPUTING = ("torch", "torchvision", "numpy", "Pillow")


def told_versions() -> str:
    """Of this project with its code, and of what computes: "sweeper 0.1.0 (code 0123abcd), torch 2.15.0, ..."."""
    return ", ".join(
        [f"sweeper {sweeper.__version__} (code {own_code()})", *(f"{name} {version(name)}" for name in COMPUTING)]
    )


@cache
def own_code(home: Path = HOME) -> str:
    """SHA-256, eight digits of it, of the code of `sweeper` but for its page, which may be edited under one version."""
    digest, own = hashlib.sha256(), home / "sweeper"
    for file in sorted({*own.rglob("*.py"), *(own / "models").rglob("*.py")}):  # which in a checkout is a link
        if file.relative_to(own).parts[0] != "dashboards":
            digest.update(f"{file.relative_to(home)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:8]
