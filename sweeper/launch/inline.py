"""The in-process twin of the Ray executor: one trial after the other, for tests and for a debugger."""

import traceback

from sweeper.launch.driver import Driver
from sweeper.store import Row
from sweeper.training.fit import fit
from sweeper.trial import Answer, Trial


def run_inline(driver: Driver) -> None:
    """Run a sweep's trials in this process until none is left or the driver halts."""
    while trial := driver.next_trial():
        _run(driver, trial)


def _run(driver: Driver, trial: Trial) -> None:
    def report(rows: tuple[Row, ...], saved_epoch: int) -> Answer:
        return driver.report(trial, rows, saved_epoch)

    driver.begin(trial.key)
    try:
        result = fit(trial, driver.sweep, driver.experiment, report)
    except (Exception, SystemExit):  # whatever a user's model raises is that trial's failure, not the sweep's
        driver.fail(trial, traceback.format_exc())
    else:
        driver.end(trial, result)
