"""Data sets that a library decodes: scikit-learn's digits, and torchvision's by class name.

The libraries are imported only to read the images for the first time.
"""

import hashlib
import importlib
import inspect
import operator
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import cache as cached
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from sweeper.data.dataset import ClassName, DataError
from sweeper.data.listed import file_of, label_of
from sweeper.data.prepared import locked
from sweeper.data.source import PARTS, Contents, Picture, Wanted, choose, did_you_mean, digest

if TYPE_CHECKING:
    from PIL import Image

    from sweeper.experiment import Data

    Labelled = Sequence[tuple[Image.Image, int]]

GRAY_LEVELS = 16  # the brightest pixel of scikit-learn's digits
SPLITS = ("train", "trainval"), ("test", "val")  # by torchvision's names, the first that a data set has
SPLITS_OF = {"Places365": (("train-standard",), ("val",))}  # its test images have no labels


class Loaded(NamedTuple):
    """The labelled images of the training and of the official part; `names` by label, or None where labels are all.

    `ids` tell classes of the same name apart, where the source has ids.
    """

    names: Sequence[str] | None
    parts: "tuple[Labelled, Labelled]"
    ids: Sequence[str] | None = None


class Row(NamedTuple):
    """One image; sorted, these give the order of a data set. `label` and `position` are those of its source.

    `failure` is why it cannot be loaded; it then has no `sha256`.
    """

    official: int
    class_id: str
    position: int
    label: int
    sha256: str
    failure: str = ""


class Decoded:
    """A source of images that `load` returns decoded."""

    def __init__(self, load: Callable[[], Loaded], stamp: Callable[[], str], wanted: Wanted) -> None:
        self._load, self.stamp, self._wanted = load, stamp, wanted

    def contents(self, without: Collection[str] = ()) -> Contents:
        loaded = self._load()
        parts, seen = loaded.parts, _seen(loaded.parts)
        names = loaded.names or _numbers(max(row.label for row in seen))
        ids = names if len(set(names)) == len(names) else loaded.ids or _numbers(len(names) - 1)
        classes = choose([ClassName(name, id_) for name, id_ in zip(names, ids, strict=True)], self._wanted)
        labels = {one.id: label for label, one in enumerate(classes)}
        chosen = (row for row in seen if ids[row.label] in labels and _sample(row) not in without)
        rows = sorted(row._replace(class_id=ids[row.label]) for row in chosen)
        return Contents(
            classes=classes,
            labels_N=np.array([labels[row.class_id] for row in rows], np.int64),
            samples=[_sample(row) for row in rows],
            official_from=sum(not row.official for row in rows),
            fingerprint=digest((row.class_id, PARTS[row.official], row.sha256) for row in rows),
            image=lambda index, size: _picture(parts, rows[index], size),
        )


def _picture(parts: "tuple[Labelled, Labelled]", row: Row, size: int) -> Picture:
    from sweeper.data.pictures import fit

    if row.failure:
        raise ValueError(row.failure)
    return fit(parts[row.official][row.position][0], size)


def _sample(row: Row) -> str:
    return f"{PARTS[row.official]}/{row.position}"


def _numbers(last: int) -> list[str]:
    """Labels as names, with leading zeros so that they sort as numbers do."""
    return [f"{label:0{len(str(last))}d}" for label in range(last + 1)]


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _seen(parts: "Iterable[Labelled]") -> list[Row]:
    return [_row(part, official, position) for official, part in enumerate(parts) for position in range(len(part))]


def _row(part: "Labelled", official: int, position: int) -> Row:
    from sweeper.data.pictures import reason

    label: object = None
    try:
        image, label = part[position]
        content = f"{image.mode} {image.size} ".encode() + image.tobytes()
    except Exception as error:
        return _unreadable(part, official, position, label, reason(error))
    return Row(official, "", position, _index(label), hashlib.sha256(content).hexdigest())


def _unreadable(part: "Labelled", official: int, position: int, label: object, reason: str) -> Row:
    """Raises DataError where the image's class is not known."""
    if label is None:
        label = label_of(part, position)
    if label is None:
        raise DataError(
            f"data.name: {type(part).__name__} cannot load image {position} of its {PARTS[official]} part ({reason}), and "
            "does not tell its class. Restore that image's file, or take it out of the data set's lists."
        )
    file = file_of(part, position)
    is_named = file is None or file in reason
    return Row(official, "", position, _index(label), "", reason if is_named else f"{file}: {reason}")


def _index(label: object) -> int:
    try:
        return operator.index(label)  # type: ignore[arg-type]
    except TypeError as error:
        raise DataError(f"data.name: its labels are not classes ({error}). Take a classification data set.") from error


def find_digits(data: "Data", cache: Path) -> Decoded:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; no official part."""
    return Decoded(_load_digits, lambda: _version("scikit-learn"), data.classes)


def _load_digits() -> Loaded:
    from PIL import Image

    found = importlib.import_module("sklearn.datasets").load_digits()
    images_NHW = np.rint(found.images * (255 / GRAY_LEVELS)).astype(np.uint8)
    labelled = [(Image.fromarray(image), int(label)) for image, label in zip(images_NHW, found.target, strict=True)]
    return Loaded([str(name) for name in found.target_names], (labelled, []))


def find_torchvision(data: "Data", cache: Path) -> Decoded:
    """The class `data.name` of torchvision.datasets, which downloads to `data.root`, or else into the cache.

    `train=True` (or `split="train"`) is its training part, `train=False` (or `split="test"`) its official one.
    """
    root = Path(data.root).expanduser() if data.root else cache / "torchvision" / data.name
    if root.exists() and not root.is_dir():
        raise DataError(
            f"data.root: {data.root!r} is not a folder. Give the folder that torchvision keeps {data.name} in."
        )
    load = cached(partial(_load_torchvision, data.name, root, cache))

    def stamp() -> str:
        if not root.is_dir():
            load()
        return digest([(_version("torchvision"), str(root.absolute())), *_files(root)])

    return Decoded(load, stamp, data.classes)


def _files(root: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for file in sorted(os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names):
        with suppress(FileNotFoundError):  # another process may be downloading
            stat = os.stat(file)
            found.append((file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return found


def _load_torchvision(name: str, root: Path, cache: Path) -> Loaded:
    from sweeper.data.download import PASSING

    kinds = importlib.import_module("torchvision.datasets")
    kind = getattr(kinds, name, None)
    if not _is_loadable(kind):
        from sweeper.experiment import DATASET_NAMES

        known = [*DATASET_NAMES, *(other for other in kinds.__all__ if _is_loadable(getattr(kinds, other)))]
        raise DataError(
            f"data.name: there is no data set {name!r}{did_you_mean(name, known)}. There are {', '.join(known)}; "
            "for images of your own, take `folder`."
        )
    with locked(cache, f"torchvision-{name}"):
        root.mkdir(parents=True, exist_ok=True)
        try:
            training, official = _parts(kind, root)
        except ImportError as error:
            package = (error.name or str(error)).partition(".")[0]
            raise DataError(
                f"data.name: torchvision reads {name} with the package {package}, which cannot be imported here ({error}). "
                f"Install it (pip install {package}), then run again."
            ) from error
        except (*PASSING, RuntimeError, FileNotFoundError, ValueError, TypeError) as error:
            raise DataError(
                f"data.name: torchvision cannot load or download {name} ({error}). Put its files into "
                f"{root.absolute()} by hand, as torchvision lays them out, or set data.root to where they are."
            ) from error
    names = getattr(training, "classes", None)
    return Loaded(
        names and [name if isinstance(name, str) else name[0] for name in names],
        (training, official),
        getattr(training, "wnids", None),
    )


def _is_loadable(kind: Any) -> bool:
    """Whether it is a class that needs nothing but to be told where its files are."""
    if not inspect.isclass(kind):
        return False
    parameters = inspect.signature(kind).parameters.values()
    needed = {one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD}
    return needed == {"root"}


def _parts(kind: Any, root: Path) -> "tuple[Labelled, Labelled]":
    parameters = inspect.signature(kind).parameters
    make = partial(kind, root, download=True) if _downloads(kind) else partial(kind, root)
    if "train" in parameters:
        return make(train=True), make(train=False)
    if "split" in parameters:
        training, official = SPLITS_OF.get(kind.__name__, SPLITS)
        return _first_split(make, *training), _first_split(make, *official)
    return make(), []


def _downloads(kind: Any) -> bool:
    """Whether it takes `download`, itself or by handing its keywords on to a class that does."""
    parameters = inspect.signature(kind).parameters
    above = kind.__mro__[1:] if "kwargs" in parameters else ()
    return "download" in parameters or any("download" in inspect.signature(one).parameters for one in above)


def _first_split(make: Callable[..., Any], name: str, *others: str) -> "Labelled":
    try:
        return cast("Labelled", make(split=name))
    except ValueError:  # how torchvision says that it has no split of this name
        if others:
            with suppress(ValueError):
                return _first_split(make, *others)
        raise
