"""What a machine decides for a sweep, what it refuses, and how a training process is set up."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trials import begin, experiment

from sweeper.experiment import Resources
from sweeper.launch.share import device_here
from sweeper.store import Machine, Sweep
from sweeper.training import machine, memory

CPU = Resources(gpus_per_trial=0)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
huge_pages = pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(), reason="this kernel gives no huge pages"
)


@pytest.fixture
def here() -> Machine:
    return machine.decide(machine.kind_here("cpu"), 1, trials_at_once=1)


def test_a_cpu_is_chosen_where_no_gpu_is_wanted() -> None:
    assert device_here(CPU) == "cpu"


@no_gpu
def test_a_cpu_is_chosen_where_no_gpu_is() -> None:
    assert device_here(Resources()) == "cpu"


def test_a_trial_has_the_threads_of_its_cpus() -> None:
    assert machine.decide(machine.kind_here("cpu"), 3, 1).threads == 3


@pytest.mark.parametrize(("at_once", "window"), [(1, 1), (2, 4), (8, 16)])
def test_the_search_looks_back_twice_as_far_as_trials_run_at_once(at_once: int, window: int) -> None:
    assert machine.decide(machine.kind_here("cpu"), 1, at_once).window == window


def test_bfloat16_is_chosen_by_what_the_processor_can_do() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line.split() for line in lines if line.startswith(("flags", "Features")))
    assert machine.has_fast_bfloat16("cpu") == ("amx_bf16" in flags or "avx512_bf16" in flags)
    assert ("AMX" in machine.processor("cpu")) == ("amx_bf16" in flags)
    assert ("BF16" in machine.processor("cpu")) == ("avx512_bf16" in flags)


def test_what_was_decided_is_read_back_and_honoured_here(here: Machine, tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "sweep")
    assert sweep.machine() is None
    sweep.write_machine(here)
    assert sweep.machine() == here
    machine.honour(here, CPU)


def test_precision_threads_and_window_of_another_machine_are_honoured(here: Machine) -> None:
    machine.honour(replace(here, precision="float32", threads=7, window=12), CPU)


def test_another_processor_is_refused_with_both_names(here: Machine) -> None:
    with pytest.raises(machine.MachineError, match="began on AuthenticAMD AVX2, this machine has") as refusal:
        machine.honour(replace(here, processor="AuthenticAMD AVX2"), CPU)
    assert here.processor in str(refusal.value)
    assert "another name" in str(refusal.value)


def test_other_versions_are_refused_with_both(here: Machine) -> None:
    with pytest.raises(
        machine.MachineError, match=r"began with sweeper 0.0.9, torch 2.1.0, here is sweeper"
    ) as refusal:
        machine.honour(replace(here, software="sweeper 0.0.9, torch 2.1.0"), CPU)
    assert torch.__version__ in str(refusal.value)
    machine.honour(replace(here, software=""), CPU)  # a folder from before versions were kept


@no_gpu
def test_a_sweep_that_began_on_a_gpu_is_refused_without_one(here: Machine) -> None:
    with pytest.raises(machine.MachineError, match="began on a GPU and none is here"):
        machine.honour(replace(here, device="cuda", processor="NVIDIA H100"), Resources())


def test_a_sweep_that_began_on_a_gpu_is_refused_where_none_is_reserved(here: Machine) -> None:
    with pytest.raises(machine.MachineError, match="gpus_per_trial is 0"):
        machine.honour(replace(here, device="cuda"), CPU)


def test_gpus_of_several_kinds_are_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["NVIDIA H100", "NVIDIA T4", "NVIDIA H100"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number=0: names[number])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(machine.MachineError, match="several kinds") as refusal:
        machine.kind_here("cuda")
    assert "H100 (CUDA_VISIBLE_DEVICES=0,2), NVIDIA T4 (CUDA_VISIBLE_DEVICES=1)" in str(refusal.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,4,6")
    with pytest.raises(machine.MachineError, match=r"H100 \(CUDA_VISIBLE_DEVICES=1,6\), NVIDIA T4 .*=4\)"):
        machine.kind_here("cuda")
    names.pop(1)
    assert machine.kind_here("cuda") == machine.Kind("cuda", "NVIDIA H100", True)


@pytest.mark.parametrize("threads", [2, 1])
def test_a_training_process_has_the_decided_threads_and_flushes_denormal_numbers(here: Machine, threads: int) -> None:
    machine.settle(replace(here, threads=threads))
    assert torch.get_num_threads() == threads
    tiny_N = torch.full((1_000_000,), 1e-39)
    assert torch.count_nonzero(tiny_N * 1.0) == 0


@pytest.mark.parametrize(("trials_a_gpu", "is_begun", "gives"), [(2, True, True), (2, False, False), (1, True, False)])
def test_a_worker_that_shares_a_gpu_gives_back_what_its_last_trial_took_of_it(
    here: Machine, monkeypatch: pytest.MonkeyPatch, trials_a_gpu: int, is_begun: bool, gives: bool
) -> None:
    called: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_begun)
    for name in ("empty_cache", "init", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: called.append(name))
    machine.settle(replace(here, device="cuda", trials_a_gpu=trials_a_gpu))
    assert called == ["empty_cache"] * gives + ["init", "reset_peak_memory_stats"]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system forgets no peak")
def test_the_memory_of_a_trial_is_not_that_of_an_earlier_one_in_its_process(tmp_path: Path) -> None:
    mebibytes = 512
    held = torch.ones(mebibytes * 2**18)
    before = memory.peak_memory_mib(held.device)
    del held
    (row,) = begin(tmp_path, experiment(epochs=1)).ended().history
    assert row["peak_memory_mib"] < before - mebibytes / 2
    held = torch.ones(mebibytes * 2**18)
    assert memory.peak_memory_mib(held.device) > row["peak_memory_mib"] + mebibytes / 2


@huge_pages
def test_large_tensors_of_a_training_process_come_in_huge_pages(here: Machine) -> None:
    script = f"""
import resource, torch
from sweeper.store import Machine
from sweeper.training.machine import settle
settle({here})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(64 * 2**20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 64 * 2**20 / resource.getpagesize() / 10
