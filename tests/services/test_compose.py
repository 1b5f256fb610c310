"""A sweep on the services of docker/compose.yaml, each a process on a machine of its own, with a node and the driver lost.

PostgreSQL, MLflow with users, S3, a Ray head and two workers run by the commands, environment and secrets of that file.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import ROOT, here
from tests.services.stack import Service, Stack

pytestmark = pytest.mark.timeout(1500)

SETTINGS = [
    "search.space={lr: [0.01, 0.03], momentum: [0.9, 0.5], batch_size: [64, 128]}",
    "search.exclude=[]",
    "pruning=null",
    "checkpoint.every_seconds=0",
    "resources.cpus_per_trial=1",
]
TRIALS = 8
LOST = {  # a node that is lost is missed after some ten seconds instead of half a minute
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
TIMED = ("epoch_seconds", "images_per_second", "peak_memory_mib")
RUNS = """
import json, psycopg
with psycopg.connect() as database:
    def rows(query): return [list(row) for row in database.execute(query).fetchall()]
    print(json.dumps({
        "statuses": rows("select status, count(*) from runs group by 1"),
        "keys": rows("select value from tags where key = 'sweeper.trial_key'"),
        "repeated": rows("select run_uuid, key, step from metrics group by 1, 2, 3 having count(*) > 1"),
        "places": rows("select artifact_uri from runs"),
    }))
"""
ANSWERS = """
import base64, configparser, json, pathlib, urllib.error, urllib.request
def status(**headers):
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request("http://mlflow:5000/api/2.0/mlflow/experiments/search", b'{"max_results": 9}', headers)
    try: return urllib.request.urlopen(request, timeout=60).status
    except urllib.error.HTTPError as error: return error.code
kept = configparser.ConfigParser()
kept.read(pathlib.Path.home() / ".mlflow" / "credentials")
user = ":".join(kept["mlflow"][f"mlflow_tracking_{name}"] for name in ("username", "password"))
admin = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
print(json.dumps({
    "nobody": status(),
    "stranger": status(Host="evil.example", **admin),
    "browser": status(Host="other.example", Origin="https://other.example", **admin),
    "browser elsewhere": status(Host="other.example", Origin="https://evil.example", **admin),
}))
"""


def words_of(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def wait_until(condition: Callable[[], bool], service: Service, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert service.process
        assert service.process.poll() is None, service.log
        assert time.monotonic() < deadline, service.log
        time.sleep(0.2)


def rows(csv: str) -> list[dict[str, str]]:
    header, *lines = (line.split(",") for line in csv.splitlines())
    untimed = [name for name in header if name not in TIMED]
    return sorted(
        ({name: value for name, value in zip(header, line, strict=True) if name in untimed} for line in lines),
        key=lambda row: row["key"],
    )


def test_a_sweep_outlives_a_node_and_its_driver_and_is_published_whole(stack: Stack, tmp_path: Path) -> None:
    stack.up("mlflow")
    stack.up("ray-head", **LOST)
    stack.up("worker-cpu", "worker-1", RAY_CPUS="1")
    second = stack.up("worker-cpu", "worker-2", RAY_CPUS="1")
    driver = stack.create("sweeper", "driver")
    driver.start("run", "experiments/quickstart.yaml", *words_of(SETTINGS))
    wait_until(lambda: driver.log.count("✓ complete") >= 2, driver)
    second.machine.kill()
    wait_until(lambda: driver.log.count("✓ complete") >= 4, driver)
    driver.machine.kill()

    laptop = stack.create("sweeper", "laptop")
    assert laptop.start("resume", "quickstart").wait(timeout=600) == 0, laptop.log
    exported = rows(laptop.run("sweeper", "export", "quickstart"))
    assert Counter(row["state"] for row in exported) == {"complete": TRIALS}

    words = ["run", ROOT / "experiments" / "quickstart.yaml", *words_of(SETTINGS)]
    here(*words, "--storage", tmp_path, "--executor", "inline", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db")
    undisturbed = rows(here("export", "quickstart", "--storage", tmp_path).stdout)
    assert exported == undisturbed

    password = (stack.folder / "secrets" / "postgres_password").read_text()
    published = json.loads(stack.services["mlflow"].run("python", "-c", RUNS, PGPASSWORD=password))
    keys = [key for (key,) in published["keys"]]
    assert sorted(keys) == [row["key"] for row in exported]
    assert dict(published["statuses"]) == {"FINISHED": TRIALS + 1}
    assert published["repeated"] == []
    assert all(place.startswith("mlflow-artifacts:/") for (place,) in published["places"])

    found = laptop.run(
        "python", "-c", "import s3fs; print(*s3fs.S3FileSystem().find('mlflow'), sep='\\n')"
    ).splitlines()
    assert sum(path.endswith("/artifacts/per_class.csv") for path in found) == TRIALS
    assert any(path.endswith("/artifacts/dashboard.html") for path in found)
    answers = json.loads(laptop.run("python", "-c", ANSWERS))
    assert answers == {"nobody": 401, "stranger": 403, "browser": 200, "browser elsewhere": 403}
    secret = (stack.folder / "secrets" / "mlflow_password").read_text()
    assert not any(secret in service.log for service in stack.services.values())
