"""The nodes of a cluster as values: what fits where, versions that differ, kinds that are not mixed; and a try's patience."""

import os
import re
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.data import DataError, UnfitSettingsError, prepare_at
from sweeper.experiment import Resources
from sweeper.launch.driver import Driver
from sweeper.launch.growing import can_grow
from sweeper.launch.joining import ClusterError, check_answers, host_and_port, raylets
from sweeper.launch.looking import Request, look, prepare
from sweeper.launch.nodes import (
    UNUSABLE,
    Look,
    Node,
    candidates,
    check_looks,
    check_one_fits,
    choose_kind,
    device_on,
    least_share,
    places,
    told_left_out,
)
from sweeper.launch.share import ResourcesError, Share
from sweeper.launch.shipping import modules_to_ship, user_models
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import read_experiment
from sweeper.store import Machine, Sweep
from sweeper.system.hardware import gpus_here
from sweeper.training.machine import Kind, MachineError

ONE, TWO, GPUS = (
    Node("a", "one", "10.0.0.1", 2.0, 0.0),
    Node("b", "two", "10.0.0.2", 3.0, 0.0),
    Node("c", "gpus", "10.0.0.3", 8.0, 2.0),
)
AMX, AVX = Kind("cpu", "GenuineIntel AMX", True), Kind("cpu", "AuthenticAMD AVX2", False)
HERE = {"torch": "2.15.0", "sweeper": "0.1.0"}
FILE = """
name: nodes
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:linear"}
search: {space: {lr: [0.1], model.name: ["tests.tiny:linear", logistic_regression]}}
resources: {max_retries: 1}
"""


@pytest.mark.parametrize(
    ("share", "held"),
    [
        (Share("cpu", 1, 0.0, None), 13),
        (Share("cpu", 2, 0.0, None), 1 + 1 + 4),  # not (2 + 3 + 8) // 2: the third CPU of the second helps no one
        (Share("cuda", 1, 1.0, None), 2),
        (Share("cuda", 1, 0.5, None), 4),
        (Share("cuda", 6, 0.5, None), 1),
        (Share("cpu", 2, 0.0, 1), 6),
    ],
)
def test_a_trial_is_on_one_node(share: Share, held: int) -> None:
    assert places(share, [ONE, TWO, GPUS]) == held


@pytest.mark.parametrize(
    ("share", "nodes", "told"),
    [
        (Share("cpu", 4, 0.0, None), [ONE, TWO], r"wants 4 CPUs, .* 2 nodes has 3 \(two \(10.0.0.2\)\).*cpus_per_trial"),
        (Share("cuda", 1, 4.0, None), [GPUS, GPUS._replace(id="d")], r"wants 4 GPUs.*has 2"),
        (Share("cuda", 1, 1.0, None), [ONE], "wants 1 GPUs, .* has 0; .*gpus_per_trial"),
        (Share("cuda", 9, 1.0, None), [GPUS, ONE._replace(cpus=9.0)], "no node of the cluster has both"),
    ],
)  # fmt: skip
def test_what_fits_on_no_node_is_told_though_the_cluster_has_enough(share: Share, nodes: list[Node], told: str) -> None:
    with pytest.raises(ResourcesError, match=told):
        check_one_fits(share, nodes)


def test_every_node_with_other_versions_is_named_with_them() -> None:
    looks = {ONE: Look(HERE), TWO: Look({**HERE, "torch": "2.14.0"}), GPUS: Look({"torch": "2.15.0"})}
    with pytest.raises(ClusterError) as refusal:
        check_looks(HERE, looks)
    told = str(refusal.value)
    assert "two (10.0.0.2) has torch 2.14.0 (here 2.15.0)" in told
    assert "gpus (10.0.0.3) has sweeper not there (here 0.1.0)" in told
    assert "one (" not in told


def test_every_node_on_which_something_is_wrong_is_named() -> None:
    looks = {ONE: Look(HERE, trouble="does not see /data"), TWO: Look(HERE, AMX), GPUS: Look(HERE, trouble="no room")}
    with pytest.raises(ClusterError, match=r"one \(10.0.0.1\): does not see /data; gpus \(10.0.0.3\): no room"):
        check_looks(HERE, looks)


def test_a_node_whose_gpus_cannot_be_used_is_left_out_where_another_is_well() -> None:
    broken = Look(HERE, trouble=f"{UNUSABLE} (RuntimeError: no driver)")
    check_looks(HERE, {ONE: Look(HERE, AMX), TWO: broken})
    with pytest.raises(ClusterError, match=r"two \(10.0.0.2\): its GPUs cannot be used \(RuntimeError: no driver\)"):
        check_looks(HERE, {ONE: Look(HERE, trouble="no room"), TWO: broken})


@pytest.mark.skipif(bool(gpus_here()), reason="a GPU is here")
@pytest.mark.parametrize(("python", "told"), [(sys.executable, r"\w"), ("/bin/false", "exit code 1")])
def test_gpus_that_torch_cannot_use_are_their_nodes_trouble(
    python: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").touch()
    monkeypatch.setattr(sys, "executable", python)
    access = read_experiment(FILE, "nodes.yaml").data
    kind, trouble = look(Request(str(tmp_path), (), access, {}, "cuda", {}), "token")
    assert kind is None
    assert re.match(rf"{UNUSABLE} \({told}", str(trouble))


def test_a_node_with_other_images_tells_so_and_one_with_the_same_has_them_prepared() -> None:
    experiment = read_experiment(FILE, "nodes.yaml")
    data = experiment.data
    same = prepare_at(data, data).fingerprint
    assert prepare(Request("", (), data, {data: same}, "", {})) is None
    assert "has other images of digits in its cache" in str(prepare(Request("", (), data, {data: "other"}, "", {})))


def test_a_new_sweep_runs_on_the_kind_with_most_room_and_a_begun_one_on_its_own() -> None:
    looks = {ONE: Look(HERE, AMX), TWO: Look(HERE, AVX)}
    share = Share("cpu", 1, 0.0, None)
    assert choose_kind(None, share, looks) == AVX
    assert choose_kind(None, replace(share, cpus=2), looks) == AVX  # alike, so by name
    begun = Machine("cpu", AMX.processor, "bfloat16", 1, 1)
    assert choose_kind(begun, share, looks) == AMX
    assert "two (10.0.0.2) is left out: it has AuthenticAMD AVX2" in told_left_out(TWO, AVX, AMX)
    with pytest.raises(MachineError, match=r"began on a VAX.*AuthenticAMD AVX2 on two .*, GenuineIntel AMX on one"):
        choose_kind(replace(begun, processor="a VAX"), share, looks)


def test_trials_run_where_the_cluster_has_gpus_whatever_the_driver_has() -> None:
    assert device_on(None, "auto", [ONE, GPUS]) == "cuda"
    assert device_on(None, 0, [ONE, GPUS]) == "cpu"
    assert device_on(None, "auto", [ONE, TWO]) == "cpu"
    assert device_on(Machine("cpu", "", "float32", 1, 1), "auto", [GPUS]) == "cpu"
    assert device_on(None, 0.5, [ONE]) == "cuda"  # a node with a GPU may yet come
    assert candidates(Share("cuda", 1, 1.0, None), [ONE, GPUS]) == [GPUS]


def test_a_gpu_is_waited_for_where_one_is_asked_for_or_the_sweep_began_on_one() -> None:
    begun = Machine("cuda", "NVIDIA H100", "bfloat16", 2, 1)
    assert least_share(None, Resources(gpus_per_trial=2, cpus_per_trial=3), [ONE]) == Share("cuda", 3, 2.0, None)
    assert least_share(begun, Resources(cpus_per_trial="auto"), [ONE]) == Share("cuda", 2, 1.0, None)
    assert least_share(None, Resources(cpus_per_trial="auto"), [ONE]) == Share("cpu", 1, 0.0, None)


@pytest.mark.parametrize(
    ("types", "grows"),
    [
        ({}, None),  # the head has just started
        ({"a": "node_a", "b": "node_b"}, False),
        ({"a": "node_a", "b": "gpu-workers"}, True),
        ({"a": "headgroup"}, True),
    ],
)
def test_a_cluster_whose_nodes_an_autoscaler_knows_can_grow(types: dict[str, str], grows: bool | None) -> None:
    assert can_grow(types) is grows


@pytest.mark.parametrize("address", ["somewhere", "10.0.0.1", "10.0.0.1:x", "ray://10.0.0.1:10001"])
def test_an_address_of_another_form_is_told(address: str) -> None:
    with pytest.raises(ClusterError, match="allowed HOST:PORT"):
        check_answers(address)


def test_an_address_is_a_host_and_a_port() -> None:
    assert host_and_port("10.0.0.1:6379") == ("10.0.0.1", 6379)
    assert host_and_port("[::1]:6379") == ("::1", 6379)


def test_an_address_at_which_nothing_listens_is_told_at_once() -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster answers at 127.0.0.1:1 .*ray start --head"):
        check_answers("127.0.0.1:1")


def test_a_process_whose_name_is_cut_within_a_letter_is_no_node() -> None:
    """Linux keeps 15 bytes of a name, seven and a half letters of Cyrillic."""
    name = Path("/proc/self/comm")
    before = name.read_bytes()
    try:
        name.write_bytes("обучение".encode())
        with pytest.raises(UnicodeDecodeError):
            name.read_text(encoding="utf-8")
        assert str(os.getpid()) not in {process.name for process in raylets()}
    finally:
        name.write_bytes(before.removesuffix(b"\n"))


def test_the_users_own_modules_are_taken_along_and_no_installed_one() -> None:
    experiment = read_experiment(FILE, "nodes.yaml")
    assert user_models(experiment) == ("tests.tiny:linear",)
    import tests.tiny  # noqa: F401 - as the driver has imported it

    shipped = [Path(path) for path in modules_to_ship(experiment)]
    assert Path(__file__).parent in shipped
    assert not {path.name for path in shipped} & {"sweeper", "models", "dashboards", "torch", "numpy"}


def test_a_module_that_a_network_imports_when_it_is_built_is_taken_along_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_network.py").write_text(
        "def build(classes):\n    from my_layers import head\n    from spaced import deep\n"
    )
    (tmp_path / "my_layers.py").write_text("try:\n    import of_python_2\nexcept SyntaxError: ...\n")
    for folder in ("spaced", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "spaced" / "deep.py").touch()
    (tmp_path / "elsewhere" / "of_python_2.py").write_text("print 'never imported'")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.syspath_prepend(str(tmp_path))
    experiment = read_experiment(FILE.replace("tests.tiny:linear", "my_network:build"), "nodes.yaml")
    shipped = {
        Path(path).relative_to(tmp_path).as_posix() for path in modules_to_ship(experiment) if str(tmp_path) in path
    }
    assert shipped == {"my_layers.py", "my_network.py", "spaced", "elsewhere/of_python_2.py"}


@pytest.mark.parametrize(
    ("saved_epochs", "survives"),
    [((0,), True), ((0, 3, 5, 9, 11), True), ((0,) * 3, True), ((0, 0, 3, 3, 3), True), ((0,) * 4, False)],
)
def test_lost_nodes_use_up_patience_only_where_a_trial_gets_no_further(
    saved_epochs: tuple[int, ...], survives: bool, tmp_path: Path
) -> None:
    sweeping = Sweeping.of(Sweep(str(tmp_path), "nodes"), read_experiment(FILE, "nodes.yaml"))
    driver = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(1), [])
    for saved_epoch in saved_epochs:
        trial = driver.next_trial()
        assert trial
        assert trial.number == 0
        driver.saved_epochs[trial.key] = saved_epoch
        driver.fail(trial, "its node was lost", is_own=False)
    assert bool(driver.again) is survives
    assert driver.sweep.trial(trial.key).exists("result.json") is not survives


@pytest.mark.parametrize(("error", "tries"), [(UnfitSettingsError, 1), (DataError, 2), (ArithmeticError, 2)])
def test_settings_that_do_not_fit_the_images_are_not_tried_again(
    error: type[Exception], tries: int, tmp_path: Path
) -> None:
    sweeping = Sweeping.of(Sweep(str(tmp_path), "nodes"), read_experiment(FILE, "nodes.yaml"))
    driver = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(1), [])
    told = "".join(traceback.format_exception(error("no")))
    for tried in range(tries):
        trial = driver.next_trial()
        assert trial
        assert trial.number == 0
        assert not driver.sweep.trial(trial.key).exists("result.json"), tried
        driver.fail(trial, "Traceback (most recent call last):\n" + told)
    assert driver.sweep.trial(trial.key).exists("result.json")
