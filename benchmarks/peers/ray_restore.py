"""A grid that survives what Ray Tune's documentation says it can: a checkpoint an epoch, and `Tuner.restore` on every start.

    python -m benchmarks.peers.ray_restore SPEC.json

The file gives `grid`, `images`, `epochs`, `uri` of MLflow and `out`, a folder for Tune's own files and results.json. All is at
its default, FailureConfig too, but with `options` a trial may fail twice before it has failed.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

from benchmarks.peers.digits import State, train


def trainable(config: dict[str, Any], spec: dict[str, Any]) -> None:
    def report(epoch: int, metrics: Any, state: State) -> None:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "state.npz", **state)  # type: ignore[arg-type]
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    state, checkpoint = None, tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            state = dict(np.load(Path(folder) / "state.npz"))
    train(config, Path(spec["images"]), spec["epochs"], report, state)


def tuner_of(spec: dict[str, Any]) -> tune.Tuner:
    storage = Path(spec["out"]) / "ray"
    training = tune.with_resources(tune.with_parameters(trainable, spec=spec), {"cpu": 1})
    if tune.Tuner.can_restore(storage / "grid"):
        return tune.Tuner.restore(str(storage / "grid"), training, resume_errored=True)
    logger = MLflowLoggerCallback(spec["uri"], experiment_name="grid", save_artifact=False)
    failures = tune.FailureConfig(max_failures=2) if spec["options"] else tune.FailureConfig()
    return tune.Tuner(
        training,
        param_space={name: tune.grid_search(values) for name, values in spec["grid"].items()},
        tune_config=tune.TuneConfig(metric="val_loss", mode="min"),
        run_config=tune.RunConfig(
            name="grid", storage_path=str(storage), callbacks=[logger], failure_config=failures, verbose=0
        ),
    )


def row_of(result: Any, epochs: int) -> dict[str, Any]:
    metrics = result.metrics or {}
    is_complete = result.error is None and metrics.get("epoch") == epochs
    cell = {name: (result.config or {}).get(name) for name in ("lr", "momentum")}  # a torn state has lost them
    return {**cell, "value": metrics.get("val_loss"), "state": "complete" if is_complete else "failed"}


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    (Path(spec["out"]) / "results.json").unlink(missing_ok=True)
    ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False)
    results = tuner_of(spec).fit()
    rows = [row_of(results[number], spec["epochs"]) for number in range(len(results))]
    (Path(spec["out"]) / "results.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
