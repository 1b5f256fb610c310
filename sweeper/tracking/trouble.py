"""What went wrong with a store: whose trouble it is, and in a sentence."""

import time
from collections.abc import Callable

from sweeper.text.redaction import redacted, without_password

TOLD_AFTER_SECONDS = 10.0


class Outage:
    """Tells once of a store that has not answered for ten seconds while a sweep runs, and once that it answers again."""

    def __init__(self, uri: str, tell: Callable[[str], object]) -> None:
        self.uri, self.tell = without_password(uri), tell
        self.since: float | None = None
        self.is_told = False

    def note(self, trouble: str | None) -> None:
        """Take in how the last request went; `trouble` is a sentence with the store's address, None when it went well."""
        if trouble is None:
            if self.is_told:
                self.tell(f"{self.uri} answers again: what it lacks is being published")
            self.since, self.is_told = None, False
            return
        self.since = self.since or time.monotonic()
        if not self.is_told and time.monotonic() - self.since >= TOLD_AFTER_SECONDS:
            self.is_told = True
            self.tell(f"{trouble}. The sweep goes on; what is not published now is kept and tried again")


def is_outage(error: Exception) -> bool:
    """Whether an error is the store's, which any other request would meet too, and not one trial's."""
    status = getattr(getattr(error, "response", None), "status_code", None)  # requests' errors
    if status is None and hasattr(error, "get_http_status_code"):  # MLflow's errors
        status = error.get_http_status_code()
    if status is not None:
        return status >= 500 or status in (401, 403, 408, 429)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def sentence(error: Exception, uri: str) -> str:
    """The first line of an error, its cause alone where it names one, after the store's address; without passwords."""
    first = next(iter(str(error).strip().splitlines()), "").rpartition("(Caused by ")[2]
    told = first if " " in first else f"{type(error).__name__} {first}"
    return f"{without_password(uri)}: {redacted(told)[:300]}"
