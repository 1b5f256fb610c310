"""Which trials' pictures the dashboard shows, and the files that they left."""

from collections.abc import Iterable, Mapping, Sequence

from sweeper.store import Sweep
from sweeper.trial import find_key

ENDING = ".png"


class PictureError(ValueError):
    """Why the pictures that were asked for cannot be shown."""


def find_keys(sweeps: Sequence[Sweep], prefixes: Sequence[str]) -> list[str]:
    """The trial keys that begin with each prefix, in any of the sweeps. Raises UnknownTrialError unless each fits one."""
    if not prefixes:
        return []
    known = {key for sweep in sweeps for key in sweep.folder.sub("trials").names()}
    listing = " && ".join(sweep.command("export") for sweep in sweeps)
    return list(dict.fromkeys(find_key(known, prefix, listing) for prefix in prefixes))


def read_pictures(sweep: Sweep, keys: Iterable[str]) -> Mapping[str, Mapping[str, bytes]]:
    """By trial key, the PNG files of `artifacts/pictures` by their names without the ending; none for who left none."""
    return {key: pictures for key in keys if (pictures := _of_trial(sweep, key))}


def _of_trial(sweep: Sweep, key: str) -> dict[str, bytes]:
    folder = sweep.trial(key).artifacts.sub("pictures")
    return {name.removesuffix(ENDING): folder.read(name) for name in folder.names() if name.endswith(ENDING)}


def missing(asked: Iterable[str], shown: Iterable[Mapping[str, object]]) -> None:
    """Raises PictureError that names a trial which was asked for and left no picture in any sweep."""
    there = {key for pictures in shown for key in pictures}
    for key in asked:
        if key not in there:
            raise PictureError(
                f"trial {key} left no pictures: complete trials draw them when they end, and more of a trial is drawn here "
                "when its model was kept (artifacts: {models: all}); leave this --pictures out"
            )
