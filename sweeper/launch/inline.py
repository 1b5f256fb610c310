"""The in-process twin of the Ray executor: one trial after the other, for tests and for a debugger."""

import traceback

from sweeper.launch.driver import Driver
from sweeper.store import Row
from sweeper.training import fit
from sweeper.trial import Answer, Trial


def run_inline(driver: Driver) -> None:
    """Run a sweep's trials in this process until none is left or the driver halts."""
    while trial := driver.next_trial():
        _run(driver, trial)


def _run(driver: Driver, trial: Trial) -> None:
    def report(rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        return driver.report(trial, rows, saved_epoch)

    retries = driver.experiment.resources.max_retries
    for left in range(retries, -1, -1):
        try:
            driver.end(trial, fit(trial, driver.sweep, driver.experiment, report))
            return
        except Exception as error:  # whatever a user's model raises is that trial's failure, not the sweep's
            if left:
                driver.retry(trial, f"{type(error).__name__}: {error}")
            else:
                driver.fail(trial, traceback.format_exc())
