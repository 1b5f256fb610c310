"""Training one trial: `fit` and its parts. Knows nothing of Ray, Optuna or MLflow."""
