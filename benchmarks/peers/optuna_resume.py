"""A grid that survives what Optuna's documentation says it can: a study in SQLite, `load_if_exists`, and the same start again.

    python -m benchmarks.peers.optuna_resume SPEC.json

The file gives `grid`, `images`, `epochs`, `uri` of MLflow and `out`, a folder for the study. A run of MLflow surrounds each
trial, as MLflow's documentation has it; Optuna's MLflowCallback.track_in_mlflow does the same and is deprecated. With `options`
heartbeats find the trials of processes that died, which are then tried again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import optuna

from benchmarks.peers.digits import State, train


def study_of(spec: dict[str, Any]) -> optuna.Study:
    heartbeat: dict[str, Any] = {}
    if spec["options"]:
        again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2)
        heartbeat = {"heartbeat_interval": 1, "grace_period": 3, "heartbeat_stale_trial_callback": again}
    return optuna.create_study(
        study_name="grid",
        storage=optuna.storages.RDBStorage(f"sqlite:///{spec['out']}/optuna.db", **heartbeat),
        sampler=optuna.samplers.GridSampler(spec["grid"], seed=0),
        load_if_exists=True,
    )


def optimize(spec: dict[str, Any]) -> None:
    mlflow.set_tracking_uri(spec["uri"])
    mlflow.set_experiment("grid")

    def objective(trial: optuna.Trial) -> float:
        cell = {name: trial.suggest_categorical(name, values) for name, values in spec["grid"].items()}
        losses: list[float] = []

        def report(epoch: int, metrics: Any, state: State) -> None:
            losses.append(metrics["val_loss"])
            mlflow.log_metric("val_loss", losses[-1], step=epoch)

        with mlflow.start_run(run_name=str(trial.number)):
            mlflow.log_params(cell)
            train(cell, Path(spec["images"]), spec["epochs"], report)
        return losses[-1]

    study_of(spec).optimize(objective)


def main() -> None:
    optimize(json.loads(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
