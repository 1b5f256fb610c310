"""Why a trial broke, out of the traceback that its worker sent."""

import re
import traceback
from pathlib import Path

from sweeper.models.code import is_installed

_OWN = Path(__file__).parent
_OUT_OF_GPU_MEMORY = re.compile(
    r"torch\.(cuda\.)?OutOfMemoryError\b|.*(CUDA|HIP) out of memory|.*CUDA error: out of memory"
    r"|.*(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
)
_OF_FILES = ("StoreError", "CheckpointError", "DataError", "CorruptError", "WeightsFileError")
_OF_SETTINGS = "UnfitSettingsError"
_TRACEBACK = "Traceback (most recent call last):"


def cause(error: str) -> str:
    """The first line of the exception that a traceback ends with, whose message may have several; of other texts, the last."""
    _, head, frames = error.strip().rpartition(_TRACEBACK)
    told = [line for line in frames.splitlines() if line.strip() and not line.startswith(" ")]
    return told[0 if head else -1] if told else "it said nothing"


def own_error(error: str) -> tuple[str, str]:
    """The class and the message of one of this project's own exceptions that a traceback ends with, else "" and `cause`.

    Without its module: results that name it stay in folders, and modules move.
    """
    told = cause(error)
    path, _, message = told.partition(": ")
    return (path.rpartition(".")[2], message) if path.startswith("sweeper.") else ("", told)


def raised(error: BaseException) -> str:
    """What an exception says, with the last line of the user's own code that it came through, if there is one."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    at = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"


def _is_users(file: str) -> bool:
    """Whether a file is no library's, Python's own or sweeper's among them."""
    path = Path(file)
    return not (file.startswith("<") or path.is_relative_to(_OWN) or is_installed(path))


def is_out_of_gpu_memory(error: str) -> bool:
    """Whether what broke a trial was want of memory on its GPU."""
    return _OUT_OF_GPU_MEMORY.match(cause(error)) is not None


def is_of_files(error: str) -> bool:
    """Whether files broke a trial that their owner must see to: damaged, missing, or not the images that it was planned on."""
    return own_error(error)[0] in _OF_FILES


def is_of_settings(error: str) -> bool:
    """Whether a trial's settings broke it on its images, as they would whenever it is tried."""
    return own_error(error)[0] == _OF_SETTINGS
