"""The house stands as designed: arrows point down, and what need not be heavy is light."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.publishing import DRAWING

ROOT = Path(__file__).parents[1]
HEAVY = (
    "mlflow",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "ray",
    "sklearn",
    "sweeper.dashboards",
    "torch",
    "torchvision",
)


def imported_by(statement: str) -> list[str]:
    """The heavy packages that a fresh interpreter has loaded after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def test_arrows_point_down_only() -> None:
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--config",
        str(ROOT / "pyproject.toml"),
        "--no-cache",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_command_line_loads_nothing_heavy() -> None:
    assert imported_by("import sweeper.cli") == []


@pytest.mark.parametrize("module", ["reading", "space", "trial", "store", "progress", "search"])
def test_reading_an_experiment_and_a_folder_loads_nothing_heavy(module: str) -> None:
    assert imported_by(f"import sweeper.{module}") == []


def test_checking_an_experiment_file_loads_nothing_heavy() -> None:
    text = "name: a\\ndata: {name: digits}\\nmodel: {name: alexnet}\\npruning: {name: median}\\n"
    assert imported_by(f"from sweeper.reading import read_experiment; read_experiment('{text}', 'f.yaml')") == []


def test_the_driver_s_decisions_need_neither_ray_nor_mlflow() -> None:
    assert not {"ray", "mlflow", "torch", "pandas"} & set(imported_by("import sweeper.search"))


def test_training_needs_neither_ray_nor_mlflow_nor_optuna() -> None:
    assert not {"ray", "mlflow", "optuna", "plotly", "pandas"} & set(imported_by("import sweeper.training.fit"))


def test_what_drives_a_sweep_needs_neither_torch_nor_plotly() -> None:
    """These are half of what a process takes that has all: what needs them runs apart."""
    parts = "running, launch.ray_tune, launch.connection, launch.cluster, tracking.mlflow_store"
    statement = "import " + ", ".join(f"sweeper.{part.strip()}" for part in parts.split(","))
    assert not {"torch", "torchvision", "plotly", "sklearn", "sweeper.dashboards"} & set(imported_by(statement))
    assert "torch" in imported_by(f"import {', '.join(DRAWING)}")


def test_a_cluster_of_its_own_is_told_to_stay_on_loopback_before_ray_is_imported() -> None:
    """Ray looks at this as it is imported."""
    code = (
        "import os; from sweeper.launch import import_ray; import_ray(None); import ray._private.ray_constants as r; "
    )
    code += "print(r.ENABLE_RAY_CLUSTER)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
