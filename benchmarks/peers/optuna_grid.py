"""The grid as one writes it with Optuna in an afternoon: GridSampler, one job a core, a run in MLflow for each trial.

    python -m benchmarks.peers.optuna_grid SPEC.json

The file gives `grid`, `trials`, `images`, `epochs`, `workers` and `out`, a folder for mlflow.db and results.json. Jobs are
processes on one journal: `n_jobs=2` would be two threads that share an interpreter, and joblib's processes cannot start a
DataLoader's workers. The callback does what optuna-integration's MLflowCallback does. GridSampler may try a cell twice when
jobs run side by side, and so leave another out; that is how it is.
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mlflow
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.training import train


def run_job(spec: dict[str, Any], trials: int) -> None:
    """One process: its share of the trials."""
    out = Path(spec["out"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{out}/mlflow.db")
    mlflow.set_experiment("optuna")

    def objective(trial: optuna.Trial) -> float:
        cell = {name: trial.suggest_categorical(name, values) for name, values in spec["grid"].items()}
        ends = train(cell, Path(spec["images"]), spec["epochs"], spec["workers"], lambda *_: None)
        trial.set_user_attr("test_top1", ends["test_top1"])
        return ends["val_top1"]

    def log(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        with mlflow.start_run(run_name=str(trial.number)):
            mlflow.log_params(trial.params)
            mlflow.log_metric("val_top1", trial.value or 0.0)
            mlflow.log_metrics(trial.user_attrs)

    study_of(spec).optimize(objective, n_trials=trials, callbacks=[log])


def study_of(spec: dict[str, Any]) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(f"{spec['out']}/journal.log"))
    sampler = optuna.samplers.GridSampler(spec["grid"], seed=0)
    return optuna.create_study(
        storage=storage, sampler=sampler, study_name="grid", direction="maximize", load_if_exists=True
    )


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    out, jobs = Path(spec["out"]), len(os.sched_getaffinity(0))
    mlflow.set_tracking_uri(f"sqlite:///{out}/mlflow.db")
    mlflow.create_experiment("optuna")  # before two processes make the database at once
    study_of(spec)
    shares = [len(range(job, spec["trials"], jobs)) for job in range(jobs)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        list(pool.map(run_job, [spec] * jobs, shares))
    rows = [
        {**trial.params, "val_top1": trial.value, "test_top1": trial.user_attrs["test_top1"]}
        for trial in study_of(spec).trials
    ]
    (out / "results.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
