"""What a trial reserves, and how many run side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.experiment import Resources
from sweeper.launch.share import Place, ResourcesError, Share, fastest_threads, here, share_of
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import read_experiment
from sweeper.store import Machine, Result, Sweep
from sweeper.training import threads
from sweeper.trial import TrialState

FILE = """
name: shared
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:linear"}
"""
CPU = Share("cpu", 1, 0.0, None)
MACHINE = Machine(device="cpu", processor="a CPU", precision="float32", threads=7, window=1)


def sweeping(folder: Path, resources: Resources) -> Sweeping:
    experiment = replace(read_experiment(FILE, "shared.yaml"), resources=resources)
    return Sweeping.of(Sweep(str(folder), "shared"), experiment)


@pytest.mark.parametrize(
    ("share", "cpus", "gpus", "at_once"),
    [
        (CPU, 8, 0, 8),
        (replace(CPU, cpus=3), 8, 0, 2),
        (replace(CPU, most=5), 8, 0, 5),
        (Share("cuda", 1, 1.0, None), 16, 4, 4),
        (Share("cuda", 1, 0.1, None), 64, 1, 10),
        (Share("cuda", 4, 0.25, None), 8, 2, 2),
        (Share("cuda", 1, 2.0, None), 16, 5, 2),
    ],
)
def test_as_many_trials_run_as_fit(share: Share, cpus: float, gpus: float, at_once: int) -> None:
    assert share.fits(cpus, gpus) == at_once


@pytest.mark.parametrize(("share", "what"), [(replace(CPU, cpus=9), "9 CPUs"), (Share("cuda", 1, 2.0, None), "2 GPUs")])
def test_what_never_fits_is_told_with_the_setting_to_lower(share: Share, what: str) -> None:
    with pytest.raises(ResourcesError, match=rf"wants {what} and there are .*; lower resources\.[cg]pus_per_trial"):
        share.fits(8, 1)


def test_a_gpu_that_is_asked_for_is_not_quietly_done_without(tmp_path: Path) -> None:
    share = share_of(sweeping(tmp_path, Resources(gpus_per_trial=1)))
    with pytest.raises(ResourcesError, match="gpus_per_trial"):
        share.fits(8, 0)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_with_no_trial_left_nothing_is_measured(device: str, tmp_path: Path) -> None:
    """Where `machine.json` was removed from a sweep that has ended."""
    experiment = read_experiment(FILE + "resources: {cpus_per_trial: auto}\nsearch: {seeds: [0, 1]}", "shared.yaml")
    sweep = Sweep(str(tmp_path), "shared")
    search = Sweeping.of(sweep, experiment).search()
    while trial := search.ask():
        sweep.trial(trial.key).write_trial(trial)
        sweep.trial(trial.key).write_result(Result(TrialState.COMPLETE, {}, (), None))
    share = share_of(Sweeping.of(sweep, experiment), Place(device, 8, int(device == "cuda"), never))
    assert (share.cpus, share.gpus) == (1, int(device == "cuda"))


def never(*arguments: object, **named: object) -> None:
    raise AssertionError(arguments)


def test_auto_is_decided_once_and_then_kept(tmp_path: Path) -> None:
    wanted = sweeping(tmp_path, Resources(cpus_per_trial="auto", gpus_per_trial=0))
    assert share_of(wanted, Place("cpu", 8, 0, five_cpus)).cpus == 5
    wanted.sweep.write_machine(MACHINE)
    assert share_of(wanted, Place("cpu", 8, 0, never)).cpus == MACHINE.threads


def five_cpus(function: object, arguments: Sequence[object], cpus: int, gpus: int) -> int:
    """What is measured with all eight CPUs free."""
    assert (function, arguments[-1], cpus, gpus) == (fastest_threads, 8, 8, 0)
    return 5


@pytest.mark.parametrize(("breaks", "cpus"), [("[false, true]", 2), ("[true]", 1)])
def test_a_model_that_breaks_as_it_is_measured_is_left_to_its_own_trials(
    breaks: str, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPER_TEST_BROKEN", str(tmp_path))
    monkeypatch.setattr(threads, "MARGIN", 0.0)  # all cores win, whenever a model could be measured
    text = FILE.replace("linear", "fragile") + "resources: {cpus_per_trial: auto, gpus_per_trial: 0}\n"
    experiment = read_experiment(f"{text}search: {{space: {{model.breaks: {breaks}}}}}", "shared.yaml")
    wanted = Sweeping.of(Sweep(str(tmp_path), "shared"), experiment)
    assert share_of(wanted, replace(here(wanted), cores=2)).cpus == cpus
