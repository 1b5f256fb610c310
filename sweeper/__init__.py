"""sweeper: experiment-tracking grid search for image classifiers."""

__version__ = "0.1.0"
