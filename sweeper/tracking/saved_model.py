"""A network in the files that MLflow keeps of one."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

import mlflow.models
import mlflow.pytorch

from sweeper.tracking.settings import silence


def save_model(
    network: Any,
    images_NCHW: Any,
    logits_NK: Any,
    form: Literal["pt2", "pickle"],
    packages: Sequence[str],
    target: str,
    ids: Mapping[str, Any],
) -> None:
    """Save a network into the folder `target`, with example images, its logits for them, and the packages it needs.

    `form` is "pt2" (torch.export: loads without code or pickle) or "pickle" (for a user's own module, which may not
    export; loading it imports that module). `ids` are fields of `mlflow.models.Model`.
    """
    silence()
    mlflow.pytorch.save_model(
        network,
        path=target,
        mlflow_model=mlflow.models.Model(**ids),
        signature=mlflow.models.infer_signature(images_NCHW, logits_NK),
        input_example=images_NCHW,
        serialization_format=form,
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in packages],
    )
