"""Calls of a remote filesystem: waited for when it is out, and told in a sentence when its user must see to it."""

import errno
import pickle
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from s3fs.errors import translate_boto_error

from sweeper.store import Folder, remote
from sweeper.store.remote import StoreError, UnreachableError, is_unmet, patiently

URL = "s3://bucket/prefix"
OUT = [
    EndpointConnectionError(endpoint_url="http://s3"),
    ReadTimeoutError(endpoint_url="http://s3"),
    TimeoutError("too slow"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
]


def answered(code: str, status: int) -> Exception:
    """What s3fs raises for an answer of S3's."""
    content = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = translate_boto_error(ClientError(content, "PutObject"))
    return error


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    remote._standing.cache_clear()
    monkeypatch.setattr(remote, "PAUSES_SECONDS", (0.0,))


def failing(*errors: Exception) -> Callable[[], str]:
    """Raises these in turn, then answers."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


@pytest.mark.parametrize("error", [*OUT, answered("InternalError", 500), answered("SlowDown", 503)], ids=repr)
def test_a_storage_that_is_out_is_asked_again(error: Exception) -> None:
    assert patiently(failing(error, error, error), URL) == "answer"


@pytest.mark.parametrize("error", OUT, ids=repr)
def test_one_that_stays_out_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_SECONDS", 0.0)
    with pytest.raises(UnreachableError, match=r"s3://bucket does not answer .*run the same command again"):
        patiently(failing(*[error] * 1000), URL)


def test_a_folder_from_another_process_has_answered_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_SECONDS", 0.0)
    pickle.loads(pickle.dumps(Folder(URL)))
    assert patiently(failing(*OUT), URL) == "answer"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (answered("NoSuchBucket", 404), "there is no bucket s3://bucket"),
        (answered("SignatureDoesNotMatch", 403), "s3://bucket refuses .*AWS_ACCESS_KEY_ID"),
        (NoCredentialsError(), "AWS_PROFILE"),
    ],
    ids=repr,
)
def test_what_its_user_must_see_to_is_told_at_once(error: Exception, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        patiently(failing(error), URL)


@pytest.mark.parametrize("error", [answered("NoSuchKey", 404), answered("PreconditionFailed", 412)], ids=repr)
def test_other_answers_are_the_callers(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        patiently(failing(error), URL)
    assert raised.value is error
    assert is_unmet(raised.value), "a conditional write over an object that is gone is refused with NoSuchKey"


def test_a_filesystem_that_nobody_knows_is_told() -> None:
    with pytest.raises(StoreError, match="Give a folder, or a URL such as s3://bucket/prefix"):
        Folder("nothing-known://x")


@pytest.mark.parametrize(
    "url",
    ["ftp://me:s3cr3t@host/x", "memory://me:s3 cr3t/#s3cr3t@host/x", "simplecache::https://host/x?password=s3cr3t"],
)
def test_a_password_in_an_address_is_refused_unsaid(url: str) -> None:
    with pytest.raises(StoreError, match="Leave it out of the URL") as raised:
        Folder(url)
    assert "cr3t" not in str(raised.value)
