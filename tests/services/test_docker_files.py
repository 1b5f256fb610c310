"""The files under docker/, read by the tools of those who run such things. Each test is skipped by name without its tool."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import ROOT
from tests.services.stack import DOCKER, compose

BIN = Path(sys.executable).parent
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "mlflow" / "Dockerfile"]
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *DOCKER.rglob("*.sbatch"), ROOT / ".ci" / "run"])
MANIFESTS = sorted((DOCKER / "kuberay").glob("*.yaml"))


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{BIN}:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"there is no {name} here: make test-services installs it")
    return found


def says(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(DOCKER)))
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    assert says(tool("hadolint"), file) == ""


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_shellcheck_has_nothing_to_say(file: Path) -> None:
    assert says(tool("shellcheck"), file) == ""


def test_compose_yaml_is_of_the_compose_specification() -> None:
    spec = pytest.importorskip("compose_spec", reason="make test-services installs compose-spec")
    resolved = compose()
    del resolved["x-sweeper"], resolved["x-environment"]
    assert set(spec.PyCompose.from_yaml(yaml.safe_dump(resolved)).service_names()) == set(resolved["services"])


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifests_fit_kubernetes_own_schemas(file: Path) -> None:
    """Kubernetes's own kinds, and the pods within Ray's; Ray's kinds have their schemas in KubeRay, not in a package."""
    kubernetes = pytest.importorskip("kubernetes_validate", reason="make test-services installs kubernetes-validate")
    for document in yaml.safe_load_all(file.read_text()):
        for manifest in [document] if document["apiVersion"] != "ray.io/v1" else pods(document):
            kubernetes.validate(manifest, kubernetes.latest_version(), strict=True)


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document["spec"].get("rayClusterSpec", document["spec"])
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, **group["template"]} for group in groups]


def test_what_the_files_name_is_there() -> None:
    """Copied files, secrets, the versions that the lock has."""
    for file in DOCKERFILES:
        for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", file.read_text(), re.MULTILINE):
            assert all((ROOT / source).exists() for source in line.split()[:-1]), line
    made = set(re.findall(r"keep (\w+)|^for name in (.+); do", (DOCKER / "secrets.sh").read_text(), re.MULTILINE))
    names = {name for pair in made for part in pair for name in part.split()}
    assert {Path(secret["file"]).name for secret in compose()["secrets"].values()} <= names
    (ray,) = re.findall(r"^ray\[.*\]==(\S+)|^ray==(\S+)", (DOCKER / "requirements.lock").read_text(), re.MULTILINE)
    for file in MANIFESTS[-2:]:
        assert f'rayVersion: "{"".join(ray)}"' in file.read_text()


def test_only_loopback_is_published_and_nobody_is_root_without_need() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "mem_limit" in service or name == "buckets", name
        assert service.get("healthcheck") or name == "buckets", name
    for file in DOCKERFILES:
        assert re.search(r"^USER \d+$", file.read_text(), re.MULTILINE)
