"""What a driver lets each node of a cluster find out about itself, before a trial runs there."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeper.data import prepare_at
from sweeper.experiment import Data
from sweeper.launch.nodes import UNUSABLE
from sweeper.models import user_callable
from sweeper.store import Folder
from sweeper.store.folder import TEMPORARY
from sweeper.training.machine import Kind, kind_here

SHOWN = "CUDA_VISIBLE_DEVICES"
GPU_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """What is looked at: the sweep's folder, models, images, the kind of processor.

    `fingerprints` has the data sections of the trials, each with what its images are for the driver.
    """

    folder: str
    models: tuple[str, ...]
    access: Data
    fingerprints: Mapping[Data, str]
    device: str
    credentials: Mapping[str, str]


def versions_here() -> Callable[[], dict[str, str]]:
    """A function that Ray sends by value, so that it also runs where sweeper is another version, or not at all."""

    def versions() -> dict[str, str]:
        import hashlib
        import importlib.util
        import platform
        from importlib import metadata
        from pathlib import Path

        found = {"Python": ".".join(platform.python_version_tuple()[:2])}
        for name in ("ray", "torch", "torchvision", "numpy", "pillow"):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        digest = hashlib.sha256()
        if spec := importlib.util.find_spec("sweeper"):
            import sweeper

            own = Path(str(spec.origin)).parent
            for path in sorted({*own.rglob("*.py"), *(own / "models").rglob("*.py")}):
                if path.relative_to(own).parts[0] != "dashboards":
                    digest.update(f"{path.relative_to(own.parent)}\n".encode() + path.read_bytes())
            found["sweeper"] = f"{sweeper.__version__} (code {digest.hexdigest()[:8]})"
        return found

    return versions


def look(request: Request, token: str) -> tuple[Kind | None, str | None]:
    """What kind of machine this is and what, if anything, would keep the sweep's trials from running here.

    The driver wrote a file `token` into the sweep's folder.
    """
    os.environ.update(request.credentials)
    trouble = _folder_trouble(request.folder, token) or _model_trouble(request)
    return (None, trouble) if trouble else _kind(request.device)


def prepare(request: Request) -> str | None:
    """Prepare the images, once for all trials on this node. Returns what keeps it from having the driver's, if anything."""
    os.environ.update(request.credentials)
    for data, fingerprint in request.fingerprints.items():
        try:
            found = prepare_at(request.access, data).fingerprint
        except (ValueError, OSError) as error:
            return f"cannot prepare the images of {data.name}: {error}"
        if found != fingerprint:
            where = request.access.root or "its cache"
            return f"has other images of {data.name} in {where} than the machine that runs the sweep. Copy them there"
    return None


def _folder_trouble(url: str, token: str) -> str | None:
    folder = Folder(url)
    try:
        folder.read(token)
        own = f"{token}.{os.urandom(4).hex()}{TEMPORARY}"
        folder.write(own, b"seen")
        folder.remove(own)
    except FileNotFoundError:
        return (
            f"does not see {url}, where the sweep is. Give --storage a folder that every node has under this path (NFS, for "
            "example) or an s3:// URL"
        )
    except Exception as error:  # whatever a file system raises: credentials, permissions, a missing driver
        return f"cannot read and write in {url} ({type(error).__name__}: {error}). Give this node the rights to it, too"
    return None


def _model_trouble(request: Request) -> str | None:
    for name in request.models:
        try:
            user_callable(name)
        except Exception as error:  # whatever importing a user's module raises
            return f"cannot import {name} ({type(error).__name__}: {error}). Install what it needs on this node, too"
    return None


def _kind(device: str) -> tuple[Kind | None, str | None]:
    if device == "cpu":
        return kind_here(device), None
    # In a process of its own: one that has used a GPU could not be given another, and Ray shows this one none.
    words = [
        sys.executable,
        "-c",
        "from sweeper.training.machine import kind_here; print(*kind_here('cuda'), sep='\\t')",
    ]
    own = {name: value for name, value in os.environ.items() if name != SHOWN}
    own |= {"PYTHONPATH": _paths(), **_shown_to_node(os.getppid())}
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=own, timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"{UNUSABLE} (no answer in {GPU_SECONDS:g} s)"
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return None, f"{UNUSABLE} ({told[-1]})"
    name, processor, is_fast = done.stdout.rstrip("\n").split("\t")
    return Kind(name, processor, is_fast == "True"), None


def _shown_to_node(raylet: int) -> dict[str, str]:
    """The GPUs that a node was started with, of all that the machine has, where somebody chose."""
    try:
        variables = Path(f"/proc/{raylet}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return {name: value for name, _, value in (one.partition("=") for one in variables) if name == SHOWN}


def _paths() -> str:
    return os.pathsep.join(path for path in sys.path if path)
