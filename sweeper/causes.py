"""Why a trial broke, out of the traceback that its worker sent."""

import re

_OUT_OF_GPU_MEMORY = re.compile(
    r"torch\.(cuda\.)?OutOfMemoryError\b|.*(CUDA|HIP) out of memory|.*CUDA error: out of memory"
    r"|.*(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
)
_OF_FILES = (
    "sweeper.remote.StoreError: ",
    "sweeper.trial_folder.CheckpointError: ",
    "sweeper.data.dataset.DataError: ",
)
_OF_SETTINGS = "sweeper.data.dataset.UnfitSettingsError: "
_TRACEBACK = "Traceback (most recent call last):"


def cause(error: str) -> str:
    """The first line of the exception that a traceback ends with, whose message may have several; of other texts, the last."""
    _, head, frames = error.strip().rpartition(_TRACEBACK)
    told = [line for line in frames.splitlines() if line.strip() and not line.startswith(" ")]
    return told[0 if head else -1] if told else "it said nothing"


def is_out_of_gpu_memory(error: str) -> bool:
    """Whether what broke a trial was want of memory on its GPU."""
    return _OUT_OF_GPU_MEMORY.match(cause(error)) is not None


def is_of_files(error: str) -> bool:
    """Whether files broke a trial that their owner must see to: damaged, or not the images that it was planned on."""
    return cause(error).startswith(_OF_FILES)


def is_of_settings(error: str) -> bool:
    """Whether a trial's settings broke it on its images, as they would whenever it is tried."""
    return cause(error).startswith(_OF_SETTINGS)
