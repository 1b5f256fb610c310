"""Processes that start at once: forked from one that has imported what they need, and then as if started from a shell."""

import atexit
import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

IMPORTED = [
    "torch",
    "torch._dynamo",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna.storages",
    "alembic.command",
]
IMPORTED += ["pandas", "plotly", "ray.tune", "ray.air.integrations.mlflow", "PIL.Image"]
IMPORTED += ["sweeper.launch.inline", "sweeper.launch.ray_tune", "sweeper.running"]
CONTEXT = get_context("forkserver")


def import_first() -> None:
    """Let what every tool needs be imported before the first process is forked, once for all."""
    CONTEXT.set_forkserver_preload(IMPORTED)


def _run(module: str, words: list[str], environment: Mapping[str, str], log: str) -> None:
    os.setsid()
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.environ.update(environment)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # which multiprocessing leaves out
        atexit._run_exitfuncs()


def started(module: str, words: list[str], environment: Mapping[str, str], log: Path) -> ForkServerProcess:
    """`python -m module words`, in a session of its own; its exit code is that of a shell's child."""
    process = CONTEXT.Process(target=_run, args=(module, words, dict(environment), str(log)))
    process.start()
    return process
