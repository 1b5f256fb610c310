"""Training one trial: `fit` and its parts. Knows nothing of Ray, Optuna or MLflow."""

from sweeper.training.fit import Answer, Report, fit

__all__ = ["Answer", "Report", "fit"]
