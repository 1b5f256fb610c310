"""The tags by which a run in MLflow tells what it is of, and what of it has been published."""

SWEEP_TAG, SWEEP_ID_TAG = "sweeper.sweep", "sweeper.sweep_id"
KEY_TAG, NUMBER_TAG, STATE_TAG = "sweeper.trial_key", "sweeper.number", "sweeper.state"
FAILED_TAG = "sweeper.has_failed"  # it was given an error before its trial was tried again
FILES_TAG = "sweeper.files"  # a digest of the files it was given
