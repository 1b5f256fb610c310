"""Trained weights of torchvision's classifiers: put in as torchvision does, but for the last layer; had, or a clear error."""

import hashlib
import io
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import WeightsEnum, get_model, get_model_weights

from sweeper.causes import is_of_files
from sweeper.models import ModelError, build, trained
from sweeper.models.trained import start_from
from sweeper.reading import read_experiment
from sweeper.reading.mistakes import ExperimentError

CLASSES = 7


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make the file of a classifier's weights, of random ones, in a cache of torch's; returns where it is."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def make(name: str) -> Path:
        torch.manual_seed(3)
        url, buffer = first_weights(name).url, io.BytesIO()
        more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        torch.save(as_stored(get_model(name, weights=None, **more).state_dict()), buffer)
        monkeypatch.setattr(WeightsEnum, "url", property(lambda _: hashed(url, buffer.getvalue())))
        file = folder / first_weights(name).url.rpartition("/")[2]
        file.write_bytes(buffer.getvalue())
        return file

    return make


def first_weights(name: str) -> Any:
    return next(iter(get_model_weights(name)))


def hashed(url: str, content: bytes) -> str:
    """An address with the digits of its content in its name, as all of torchvision's have them."""
    return re.sub(r"-[0-9a-f]{8,}\.", f"-{hashlib.sha256(content).hexdigest()[:8]}.", url)


def as_stored(state: dict[str, Any]) -> dict[str, Any]:
    """DenseNet's are from before its layers had their names, `norm.1` in the place of `norm1`, and before steps were counted."""
    if not any("denselayer" in key for key in state):
        return state
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in kept.items()}


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1", "googlenet", "mnasnet0_5", "swin_t"])
def test_all_but_the_last_layer_is_what_torchvision_has_of_these_weights(
    name: str, cached: Callable[[str], Path]
) -> None:
    cached(name)
    theirs = get_model(name, weights=first_weights(name))
    torch.manual_seed(5)
    ours = build(f"torchvision.{name}", {"weights": first_weights(name).name}, CLASSES, 64)
    torch.manual_seed(5)
    fresh = build(f"torchvision.{name}", {}, CLASSES, 64).state_dict()
    expected = {key: value for key, value in theirs.state_dict().items() if not key.startswith("aux")}
    anew = [key for key, value in ours.state_dict().items() if len(value.shape) and len(value) == CLASSES]
    assert len(anew) == 2  # a weight and its bias
    assert ours.state_dict().keys() == expected.keys()
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value, fresh[key] if key in anew else expected[key], rtol=0, atol=0)
    assert getattr(ours, "transform_input", None) == getattr(theirs, "transform_input", None)


def test_as_many_classes_as_were_trained_keep_the_last_layer_too(cached: Callable[[str], Path]) -> None:
    cached("squeezenet1_1")
    weights = first_weights("squeezenet1_1")
    images_NCHW = torch.rand(2, 3, 64, 64)
    ours = build("torchvision.squeezenet1_1", {"weights": weights.name}, 1000, 64).eval()
    theirs = get_model("squeezenet1_1", weights=weights).eval()
    torch.testing.assert_close(ours(images_NCHW), theirs(images_NCHW), rtol=0, atol=0)


def test_one_whose_weights_are_loaded_next_asks_for_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    build("torchvision.resnet18", {"weights": "IMAGENET1K_V1"}, CLASSES, 64, from_trained=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("imagenet1k_v1", "did you mean IMAGENET1K_V1"),
        ("DEFAULT", "changes with torchvision.*now it is IMAGENET1K_V2"),
        (True, "no weights `True`; it has IMAGENET1K_V1, IMAGENET1K_V2"),
        (False, "no weights `False`"),
        ("", "no weights ``"),
        ({"a": 1}, "it has IMAGENET1K_V1"),
    ],
)
def test_other_weights_than_there_are_get_the_names_of_those_there_are(given: object, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        build("torchvision.resnet50", {"weights": given}, CLASSES, 64)


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("vgg16", "IMAGENET1K_FEATURES", "no weights .*; did you mean IMAGENET1K_V1"),
        ("efficientnet_v2_l", "IMAGENET1K_V1", r"saw pixels of mean \[0.5, 0.5, 0.5\]"),
    ],
)
def test_weights_that_a_trial_could_not_use_are_refused_before_they_are_downloaded(
    name: str, given: str, told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        start_from(torch.nn.Linear(1, 1), name, given, CLASSES)


def test_sweepers_own_network_says_who_takes_weights() -> None:
    text = "name: a\nmodel: {name: resnet18, weights: IMAGENET1K_V1}\nsearch: {space: {lr: [1]}}"
    with pytest.raises(ExperimentError, match=r"`weights`.*torchvision\.resnet18 takes trained weights"):
        read_experiment(text, "a.yaml")


def test_weights_that_do_not_fit_the_arguments_are_refused(cached: Callable[[str], Path]) -> None:
    cached("mobilenet_v3_small")
    with pytest.raises(ModelError, match=r"trained at 224 px\. Leave out arguments"):
        build("torchvision.mobilenet_v3_small", {"weights": "IMAGENET1K_V1", "reduced_tail": True}, CLASSES, 64)


class Server(ThreadingHTTPServer):
    """Serves one content with a status; stalls half way when told to, until it is closed."""

    content, status = b"", 200
    stalls = False
    is_closing: threading.Event


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        if self.server.stalls:
            self.wfile.write(self.server.content[:1000])
            self.server.is_closing.wait()
        else:
            self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One on this machine, which has the weights of squeezenet1_1."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    buffer = io.BytesIO()
    torch.save(get_model("squeezenet1_1", weights=None).state_dict(), buffer)
    Server.content, Server.status = buffer.getvalue(), 200
    with Server(("127.0.0.1", 0), Handler) as server:
        url = hashed(f"http://127.0.0.1:{server.server_port}/squeezenet1_1-00000000.pth", Server.content)
        monkeypatch.setattr(WeightsEnum, "url", property(lambda _: url))
        server.is_closing = threading.Event()
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.is_closing.set()
        server.shutdown()


def squeezenet() -> Any:
    return build("torchvision.squeezenet1_1", {"weights": "IMAGENET1K_V1"}, CLASSES, 64)


def test_they_are_downloaded_once_and_stdout_stays_free(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = torch.load(io.BytesIO(server.content), weights_only=True)
    torch.testing.assert_close(squeezenet().state_dict()["features.0.weight"], stored["features.0.weight"])
    server.status = 500  # not asked again
    squeezenet()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("Downloading") == 1


@pytest.mark.parametrize("what", ["status", "content", "gone", "stalled"])
def test_a_download_that_goes_wrong_says_where_to_put_the_file_and_leaves_nothing(
    what: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "STALL_SECONDS", 0.3)
    if what == "status":
        server.status = 404
    elif what == "content":
        server.content = server.content[:-1] + b"!"
    elif what == "stalled":
        server.stalls = True
    else:
        server.shutdown()
        server.server_close()
    cause = "was cut off or is not it" if what == "content" else "cannot be had from http"
    with pytest.raises(ModelError, match=f"{cause}.*put that file at {tmp_path}/hub/checkpoints/squeeze") as raised:
        squeezenet()
    assert is_of_files(
        "".join(traceback.format_exception(raised.value))
    )  # so the trial is tried again with the next `run`
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


@pytest.mark.parametrize("damage", ["empty", "cut", "a bit"])
def test_a_damaged_file_in_the_cache_is_named(damage: str, cached: Callable[[str], Path]) -> None:
    file = cached("squeezenet1_1")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"empty": b"", "cut": content[:1000], "a bit": content}[damage])
    with pytest.raises(ModelError, match=f"{file} is not what https.*Remove it"):
        squeezenet()
