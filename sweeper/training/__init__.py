"""Training one trial: `fit` and its parts. Knows nothing of Ray, Optuna or MLflow."""

from sweeper.training.fit import Report, fit

__all__ = ["Report", "fit"]
