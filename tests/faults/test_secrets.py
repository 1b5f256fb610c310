"""Passwords and tokens appear nowhere: a sweep that fails for all of them to see, every command, every file searched.

The long form runs on Ray and publishes to a real server, and searches Ray's logs and the arguments of all processes too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from sweeper.text.redaction import redacted
from sweeper.tracking import Publisher
from tests.command import ROOT, SECONDS, here
from tests.mlflow_servers import MlflowServer, dump

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "c4n4ry/aws+secret==",
    "AWS_ACCESS_KEY_ID": "c4n4ryAKIAEXAMPLE",
    "WANDB_API_KEY": "c4n4ry-wandb",
    "HF_TOKEN": "c4n4ry_hf_token",
    "MY_TOKEN": "c4n4ry my token",
    "DB_PASSWORD": "c4n4ry'db\"quote\\back",
    "PGPASSWORD": "c4n4ry-pg",
    "CLIENT_SECRET": "c4n4ry-ünïcode",
    "DEPLOY_KEY": "-----BEGIN KEY-----\nc4n4ry+first+line+of+a+key\nc4n4ry+second+line+of+it\n-----END KEY-----",
    "DATABASE_URL": "postgresql://me:c4n4ry-in-url@db.example/x",
}
PASSWORD = "c4n4ry-tracking"
LEAKY = """
import os
from torch import nn
from tests.tiny import linear

class Leaky(nn.Module):
    def __init__(self, classes, leaks):
        super().__init__()
        self.inner, self.leaks = linear(classes), leaks

    def forward(self, images):
        if self.leaks and self.training:
            secrets = [os.environ[name] for name in os.environ["ALL_OF_THEM"].split()]
            if self.leaks == "all":
                raise RuntimeError(f"login failed: {secrets} http://me:c4n4ry-unknown@host/x?token=c4n4ry-unknown")
            raise ConnectionError("\\n".join(secrets))
        return self.inner(images)

def leaky(classes, leaks=""):
    return Leaky(classes, leaks)

def unbuildable(classes):
    raise ValueError(os.environ["HF_TOKEN"])
"""
FILE = """
name: leaky
data: {{name: digits, image_size: 8, classes: 3, augment: []}}
model: {{name: "leaky:leaky"}}
train: {{epochs: 1, batch_size: 64}}
search: {{space: {{lr: [0.1], model.leaks: ["", "all", "each"]}}}}
resources: {{max_retries: 1}}
tracking: {{uri: "{uri}"}}
"""


REFUSED = (
    ("plan", "mine.yaml", "--set", "model.name=leaky:unbuildable", "--set", "search.space={}"),
    ("run", "mine.yaml", "--set", f"tracking.uri=[http://me:{PASSWORD}{'x' * 60}@host]"),
    ("run", "mine.yaml", "--set", f"tracking.uri=http://me:my {PASSWORD}@127.0.0.1:1"),
    ("run", "mine.yaml", "--set", f"data.root=https://me:{PASSWORD}@host/x.zip"),
    ("run", "mine.yaml", "--storage", f"memory://me:{PASSWORD}@host/x", "--executor", "inline"),
    ("doctor", "--storage", f"memory://me:{PASSWORD}@host/x"),
    ("status", "leaky", "--storage", f"ftp://me:{PASSWORD}@127.0.0.1:1/x"),
    ("status", f"http://me:{PASSWORD}@127.0.0.1:1/x"),
)


class Deaf(BaseHTTPRequestHandler):
    """A tracking server that knows nothing, and says so at once."""

    def do_POST(self) -> None:
        self.send_error(404)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Outing:
    """A working directory, what every command said in it, and the arguments of all processes meanwhile."""

    def __init__(self, folder: Path, is_long: bool) -> None:
        self.folder, self.work, self.is_long = folder, folder / "work", is_long
        self.said: dict[str, str] = {}
        self.arguments: set[str] = set()

    def sweeper(self, *words: str, expect: int = 0) -> str:
        done = self._process(words) if self.is_long else here(*words, expect=expect, cwd=self.work)
        self.said[" ".join(words)] = said = done.stdout + done.stderr
        assert done.returncode == expect, f"{words}: exit {done.returncode}\n{said}"
        return said

    def _process(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        over = threading.Event()
        watching = threading.Thread(target=self._watch, args=(over,))
        watching.start()
        command = [sys.executable, "-m", "sweeper", *words]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=2 * SECONDS, cwd=self.work, check=False
            )
        finally:
            over.set()
            watching.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(0.3):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.arguments.add(file.read_text(errors="replace"))
                except OSError:  # it has ended
                    continue

    def files(self) -> Iterator[tuple[str, bytes]]:
        """All files and what is compressed in them, but for those that the user wrote the secrets into."""
        for file in sorted(self.folder.rglob("*")):
            name = str(file.relative_to(self.folder))
            if file.is_file() and name not in ("work/mine.yaml", "work/leaky.py", "work/.git/config"):
                yield name, file.read_bytes()
                yield from ((f"{name}/{inner}", content) for inner, content in _inside(file))


def _inside(file: Path) -> Iterator[tuple[str, bytes]]:
    """What is compressed in a file, as text."""
    if file.suffix == ".parquet":
        yield "table", pd.read_parquet(file).to_csv().encode()
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())


@pytest.fixture
def outing(is_long: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outing]:
    folder = Path(tempfile.mkdtemp(prefix="sw-"))  # short: Ray's sockets lie in it
    for name in ("work", "tmp", "ray", "home", "cache"):
        (folder / name).mkdir()
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ALL_OF_THEM", " ".join(SECRETS))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{folder / 'work'}")
    for name, at in {
        "SWEEPER_STORAGE": "storage",
        "SWEEPER_CACHE": "cache",
        "RAY_TMPDIR": "ray",
        "TMPDIR": "tmp",
    }.items():
        monkeypatch.setenv(name, str(folder / at))
    (folder / "work" / "leaky.py").write_text(LEAKY)
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-C", str(folder / "work")]
    for words in (
        "init -q",
        "remote add origin https://me:c4n4ry-git@git.example/x",
        "commit -q --allow-empty -m first",
    ):
        subprocess.run([*git, *words.split()], check=True)
    yield Outing(folder, is_long)
    sys.modules.pop("leaky", None)
    shutil.rmtree(folder)


@pytest.fixture
def server(outing: Outing, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a tracking server listens."""
    if outing.is_long:
        real = MlflowServer(outing.folder, outing.folder / "mlflow.db")
        yield real.uri
        real.kill()
        return
    others = (Publisher.__init__.__defaults__ or ())[1:]
    monkeypatch.setattr(Publisher.__init__, "__defaults__", (0.5, *others))  # seconds of patience
    with ThreadingHTTPServer(("127.0.0.1", 0), Deaf) as deaf:
        threading.Thread(target=deaf.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{deaf.server_port}"
        deaf.shutdown()


def told(text: str) -> list[str]:
    """The lines that give a secret away."""
    return [line[:300] for line in text.splitlines() if "c4n4ry" in line]


def test_no_secret_is_said_or_kept_by_any_command(outing: Outing, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = server.replace("://", f"://me:{PASSWORD}@")
    (outing.work / "mine.yaml").write_text(FILE.format(uri=whole))
    executor, unpublished = ("ray", 0) if outing.is_long else ("inline", 4)
    outing.sweeper("run", "mine.yaml", "--executor", executor, expect=3)
    words = ["resume", "leaky", "--retry-failed", "--executor", executor]
    assert "the password of http://***@127.0.0.1" in outing.sweeper(*words, expect=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole)
    outing.sweeper("sync", "leaky", expect=unpublished)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    outing.sweeper(*words, expect=3)
    outing.sweeper("ui", "leaky")
    for form in ("csv", "json", "parquet", "markdown", "latex", "html", "xlsx") if outing.is_long else ("json",):
        outing.sweeper("export", "leaky", "--format", form, "-o", f"table.{form}")
    outing.sweeper("dashboard", "leaky")
    for reading in ("status leaky", "list", "results leaky --json", "explain leaky") if outing.is_long else ():
        outing.sweeper(*reading.split())
    for broken in REFUSED:
        outing.sweeper(*broken, expect=2)
    assert {words: told(text) for words, text in outing.said.items() if told(text)} == {}
    assert [name for name, content in outing.files() if b"c4n4ry" in content] == []
    shown = {words for words in outing.arguments if "c4n4ry" in words}
    assert {words for words in shown if "-m\0sweeper\0" not in words} == set()  # but for what the user typed
    if outing.is_long:
        assert "c4n4ry" not in dump(outing.folder / "mlflow.db")
        assert outing.arguments


SPELLINGS = {
    "as it is": ("MY_TOKEN", "c4n4ry my+token", "c4n4ry my+token"),
    "of a form": ("MY_TOKEN", "c4n4ry my+token", "c4n4ry+my%2Btoken"),
    "escaped in lower case": ("MY_TOKEN", "c4n4ry/token", "c4n4ry%2ftoken"),
    "of a form in lower case": ("MY_TOKEN", "c4n4ry my+token", "c4n4ry+my%2btoken"),
    "JSON with letters": ("CLIENT_SECRET", 'c4n4ry-"ü', 'c4n4ry-\\"ü'),
    "bytes that are no text": ("MY_TOKEN", "c4n4ry\udcff", "c4n4ry%FF"),
    "decoded from a URL": ("DATABASE_URL", "postgresql://me:c4n4ry%401@db/x", "c4n4ry@1"),
    "with a space in a URL": ("DATABASE_URL", "postgresql://me:my c4n4ry@db/x", "my c4n4ry"),
    "second of two URLs": ("SERVERS", "redis://a:first1@h,redis://b:c4n4ry@h", "c4n4ry"),
    "number after the name": ("DB_PASSWORD2", "c4n4ry", "c4n4ry"),
    "number after a short name": ("DB_PASS2", "c4n4ry", "c4n4ry"),
    "several": ("PASSWORDS", "c4n4ry", "c4n4ry"),
    "several keys": ("API_KEYS", "c4n4ry", "c4n4ry"),
    "key after a word": ("MYAPIKEY", "c4n4ry", "c4n4ry"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPELLINGS)
def test_a_secret_is_known_in_other_spellings(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value, spelling = SPELLINGS[case]
    monkeypatch.setenv(name, value)
    assert redacted(f"refused: {spelling}, says the server") == "refused: ***, says the server"


@pytest.mark.parametrize("user", ["", "m", "me", "you"])
@pytest.mark.parametrize("secret", ["hunter", "hunter2", "hunter22", "ünlike/any+other"])
def test_a_secret_is_known_in_base64(user: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", secret)
    for text in (f"{user}:{secret}", f"{user}:{secret}:x", f"{user}:{secret}:and more"):
        encoded = b64encode(text.encode()).decode()
        assert redacted(f"Authorization: Basic {encoded}, refused") == "Authorization: Basic ***, refused"


STARTING = """
import os
from pathlib import Path
from sweeper.launch import import_ray
_, connection = import_ray(None)
with connection.cluster(None):
    token = Path.home() / ".ray" / "auth_token"
    modes, is_long = [oct(path.stat().st_mode & 0o777) for path in (token.parent, token)], len(token.read_text()) >= 32
    mask = oct(os.umask(0))
print(*modes, is_long)
print(mask)
"""


@pytest.mark.parametrize(("before", "told"), [(None, "0o700 0o600 True"), ("0" * 32, "0o755 0o600 True")])
def test_nobody_else_reads_the_token_of_a_cluster_of_our_own(tmp_path: Path, before: str | None, told: str) -> None:
    if before is not None:
        token = tmp_path / ".ray" / "auth_token"
        token.parent.mkdir(mode=0o755)
        token.write_text(before)
        token.chmod(0o644)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", STARTING],
        env={**environment, "HOME": str(tmp_path)},
        umask=0o022,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{told}\n0o22\n", "")


def test_words_that_are_no_secrets_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "SORT_KEY": "lr", "SORT_KEYS": "lr", "MONKEY": "", "HOME_PWD": "x", "GOOGLE_CREDENTIALS": str(tmp_path),
        "MONKEYS": "gorilla", "KEYBOARD": "german", "TOKENIZERS_PARALLELISM": "parallel", "OLDPWD": "/home/someone/work",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for text in (
        f"lr 0.1 in {tmp_path}, /home/someone/work of a gorilla with german in parallel",
        "http://[::1]:5000 answers 500 to bob@home; heads=4; key_dim=64  # tokens=8",
    ):
        assert redacted(text) == text
