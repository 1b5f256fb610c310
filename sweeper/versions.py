"""The versions of what decodes images and computes trials, told without importing any of it."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import sweeper

HOME = Path(sweeper.__file__).parent.parent
OWN, COMPUTING = ("models", "sweeper"), ("torch", "torchvision", "numpy", "Pillow")


def told_versions() -> str:
    """Of this project with its code, and of what computes: "sweeper 0.1.0 (code 0123abcd), torch 2.15.0, ..."."""
    return ", ".join(
        [f"sweeper {sweeper.__version__} (code {own_code()})", *(f"{name} {version(name)}" for name in COMPUTING)]
    )


@cache
def own_code(home: Path = HOME) -> str:
    """SHA-256, eight digits of it, of the code of `models` and `sweeper`, which may be edited under one version."""
    digest = hashlib.sha256()
    for file in sorted(found for package in OWN for found in (home / package).rglob("*.py")):
        digest.update(f"{file.relative_to(home)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:8]
