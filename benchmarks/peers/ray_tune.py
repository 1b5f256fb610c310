"""The grid as one writes it for Ray Tune in an afternoon: a function trainable and Ray's own MLflow callback.

    python -m benchmarks.peers.ray_tune SPEC.json

The file gives `grid`, `trials`, `images`, `epochs`, `workers` and `out`, a folder for mlflow.db and results.json.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

from benchmarks.peers.training import train


def trainable(config: dict[str, Any], spec: dict[str, Any]) -> None:
    def report(epoch: int, metrics: Any) -> None:
        tune.report({"epoch": epoch, "best_top1": 0.0, "test_top1": 0.0, **metrics})

    ends = train(config["cell"], Path(spec["images"]), spec["epochs"], spec["workers"], report)
    tune.report({"epoch": spec["epochs"], "best_top1": ends["val_top1"], **ends})


def row_of(result: Any) -> dict[str, float]:
    metrics = result.metrics
    return {**result.config["cell"], "val_top1": metrics["best_top1"], "test_top1": metrics["test_top1"]}


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    out = Path(spec["out"])
    names, values = list(spec["grid"]), spec["grid"].values()
    cells = [dict(zip(names, cell, strict=True)) for cell in itertools.product(*values)][: spec["trials"]]
    ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False)
    logger = MLflowLoggerCallback(f"sqlite:///{out}/mlflow.db", experiment_name="ray_tune", save_artifact=False)
    results = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, spec=spec), {"cpu": 1}),
        param_space={"cell": tune.grid_search(cells)},
        tune_config=tune.TuneConfig(metric="best_top1", mode="max"),
        run_config=tune.RunConfig(storage_path=str(out / "ray"), callbacks=[logger], verbose=0),
    ).fit()
    rows = [row_of(results[number]) for number in range(len(results))]
    (out / "results.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
