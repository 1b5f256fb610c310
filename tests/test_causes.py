"""What broke a trial, told from the text that its worker sent."""

from collections.abc import Iterator

import pytest

from sweeper.causes import is_of_files, is_of_settings, own_error
from sweeper.data import DataError, UnfitSettingsError
from sweeper.data.prepared import CorruptError
from sweeper.models import ModelError
from sweeper.models.registry import WeightsFileError
from sweeper.store import StoreError
from sweeper.store.remote import UnreachableError
from sweeper.store.trial_folder import CheckpointError

FILES = {StoreError, CheckpointError, DataError, CorruptError, WeightsFileError}
SETTINGS = {UnfitSettingsError}
OTHERS = {ModelError, UnreachableError}  # a broken network, and a storage that stops the whole sweep


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        yield from family(below)


def text(kind: type[Exception]) -> str:
    """As Python writes it."""
    return f'Traceback (most recent call last):\n  File "x.py", line 1\n{kind.__module__}.{kind.__qualname__}: a.png: no\ntwo\n'


def test_every_error_of_files_images_and_models_is_of_files_of_settings_or_of_neither() -> None:
    kinds = {one for kind in (StoreError, DataError, ModelError) for one in family(kind)}
    assert {kind for kind in kinds if is_of_files(text(kind))} == FILES
    assert {kind for kind in kinds if is_of_settings(text(kind))} == SETTINGS
    assert kinds == FILES | SETTINGS | OTHERS


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("sweeper.some.earlier.place.DataError: cat.png: it is broken", ("DataError", "cat.png: it is broken")),
        ("ValueError: sweeper.data.DataError: quoted", ("", "ValueError: sweeper.data.DataError: quoted")),
        ("sweepers.DataError: of a user's own package", ("", "sweepers.DataError: of a user's own package")),
    ],
)
def test_an_error_is_ours_by_its_class_wherever_that_was(error: str, expected: tuple[str, str]) -> None:
    assert own_error(f'Traceback (most recent call last):\n  File "x.py", line 1\n{error}\n') == expected
