"""What went wrong with a store: whose trouble it is, and in a sentence."""

from sweeper.text.redaction import redacted, without_password


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
