"""The files under docker/, read by the tools of those who run such things. Each test is skipped by name without its tool."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.ray_constants import RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S

from sweeper.system.stopping import LIMIT_SECONDS
from tests.command import ROOT
from tests.services.stack import DOCKER, compose

BIN = Path(sys.executable).parent
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "mlflow" / "Dockerfile"]
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *DOCKER.rglob("*.sbatch"), ROOT / ".ci" / "run"])
MANIFESTS = sorted((DOCKER / "kuberay").glob("*.yaml"))
CLUSTERS = [DOCKER / "kuberay" / "raycluster.yaml", DOCKER / "kuberay" / "rayjob.yaml"]
README = (DOCKER / "README.md").read_text()
LOCK = (DOCKER / "requirements.lock").read_text()


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
    """What a manifest makes pods of, but for the containers that KubeRay adds to them."""
    templates = [document["spec"][name] for name in ("template", "submitterPodTemplate") if name in document["spec"]]
    templates += [group["template"] for group in groups(document)]
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": each["spec"]} for each in templates]


def groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The head and the workers of a manifest of Ray's."""
    spec = cluster(document)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]] if "headGroupSpec" in spec else []


def cluster(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document["spec"].get("rayClusterSpec", document["spec"]))


def documents(*files: Path) -> list[dict[str, Any]]:
    return [document for file in files or MANIFESTS for document in yaml.safe_load_all(file.read_text())]


def gibibytes(size: str) -> int:
    return int(re.sub("gb$|Gi$", "", size)) * 2**30


def test_what_the_files_name_is_there() -> None:
    """Copied files, secrets, the versions that the lock has."""
    for file in DOCKERFILES:
        for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", file.read_text(), re.MULTILINE):
            assert all((ROOT / source).exists() for source in line.split()[:-1]), line
    made = set(re.findall(r"keep (\w+)|^for name in (.+); do", (DOCKER / "secrets.sh").read_text(), re.MULTILINE))
    names = {name for pair in made for part in pair for name in part.split()}
    assert {Path(secret["file"]).name for secret in compose()["secrets"].values()} <= names
    (ray,) = re.findall(r"^ray\[.*\]==(\S+)|^ray==(\S+)", LOCK, re.MULTILINE)
    for file in CLUSTERS:
        assert f'rayVersion: "{"".join(ray)}"' in file.read_text()


def test_only_loopback_is_published_and_nobody_is_root_without_need() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "mem_limit" in service or name == "buckets", name
        assert service.get("healthcheck") or name == "buckets", name
    for file in DOCKERFILES:
        assert re.search(r"^USER \d+$", file.read_text(), re.MULTILINE)
    for name, service in compose()["services"].items():
        # PostgreSQL's image starts as root, to own its volume, and goes on as its user.
        assert service.get("cap_drop") == ["ALL"] or name == "postgres", name


def test_all_of_s3_is_in_its_volume_which_is_its_users_in_the_image() -> None:
    """The filer.toml of SeaweedFS's image names /data/filerldb2, which without a volume of that place would be lost."""
    s3 = compose()["services"]["s3"]
    assert s3["user"] == "1000:1000"
    assert s3["volumes"] == ["s3:/data"]
    assert "-dir=/data" in s3["command"]


def test_the_image_is_built_by_what_is_locked() -> None:
    (line,) = [
        line for line in (DOCKER / "Dockerfile").read_text().splitlines() if line.endswith("--no-build-isolation .")
    ]
    assert "--no-deps" in line
    (locked,) = re.findall(r"^setuptools==(\d+)", LOCK, re.MULTILINE)
    (least,) = re.findall(r'requires = \["setuptools>=(\d+)"\]', (ROOT / "pyproject.toml").read_text())
    assert int(locked) >= int(least)


def test_each_image_is_built_by_one_service_which_all_that_need_it_wait_for() -> None:
    """Compose builds at once what has a `build`; of two that end with one tag, one fails: "image ... already exists"."""
    services = compose()["services"]
    built = [service["image"] for service in services.values() if "build" in service]
    assert sorted(image.partition(":")[0] for image in built) == ["sweeper", "sweeper-mlflow"]

    def is_built_before(name: str, image: str) -> bool:
        service = services[name]
        is_here = "build" in service and service["image"] == image
        return is_here or any(is_built_before(other, image) for other in service.get("depends_on", ()))

    for name, service in services.items():
        assert service["image"] not in built or is_built_before(name, service["image"]), name


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(DOCKER)))
def test_images_have_the_bytecode_that_their_users_could_not_keep(file: Path) -> None:
    """Without it each health check would compile Ray, and each worker torch, anew."""
    assert re.search(r"^COPY --from=build /opt/venv /opt/venv$", file.read_text(), re.MULTILINE)
    assert not re.search("PIP_NO_COMPILE|--no-compile|PYTHONDONTWRITEBYTECODE", file.read_text())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of another's")
def test_git_in_the_image_reads_a_working_copy_of_any_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "system"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    subprocess.run(["git", "init", "--quiet", tmp_path / "copy"], check=True)
    for path in (tmp_path / "copy", tmp_path / "copy" / ".git"):
        os.chown(path, 10001, 10001)
    assert "dubious ownership" in says("git", "-C", tmp_path / "copy", "status")
    (words,) = re.findall(r"git config --system .*", DOCKERFILES[0].read_text())
    subprocess.run(["bash", "-c", words], check=True)
    assert says("git", "-C", tmp_path / "copy", "status") == ""


def test_who_is_stopped_has_the_time_that_it_takes() -> None:
    """Ray drains a node before it ends its processes; a driver that Ray's jobs API stops saves as one on a terminal does."""
    services = compose()["services"]
    for name in ("ray-head", "worker-cpu", "worker-gpu"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
    for head, *workers in map(groups, documents(*CLUSTERS)):
        for group in (head, *workers):
            seconds = group["template"]["spec"]["terminationGracePeriodSeconds"]
            assert seconds > RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
        environment = {given["name"]: given["value"] for given in head["template"]["spec"]["containers"][0]["env"]}
        assert LIMIT_SECONDS < int(environment["RAY_JOB_STOP_WAIT_TIME_S"]) < RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S


def test_kubectl_waits_longer_than_the_half_minute_in_which_an_image_is_not_pulled() -> None:
    waits = re.findall(r"kubectl wait [^&\n]*", README)
    assert waits
    assert all("--timeout=" in wait for wait in waits)


def test_images_of_ones_own_are_where_the_driver_and_every_worker_looks() -> None:
    """`--file` keeps Compose from looking for compose.override.yaml."""
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    added = yaml.safe_load(text)["services"]
    assert set(added) == {name for name in compose()["services"] if name == "sweeper" or name.startswith("worker")}
    (volume,) = {volume for service in added.values() for volume in service["volumes"]}
    source, target, mode = volume.split(":")
    assert (source, mode) == (target, "ro")


def test_cpus_are_offered_once_and_ray_keeps_objects_in_shared_memory() -> None:
    """Two workers that each offer all CPUs offer them twice; objects that may take more than /dev/shm has go to disk."""
    services = compose()["services"]
    assert services["worker-cpu"]["deploy"]["replicas"] == 1
    given = [
        re.findall(r"--object-store-memory (\d+)", (DOCKER / name).read_text()) for name in ("ray.sh", "sweeper.sh")
    ]
    assert given == [["1000000000"]] * 2
    for name in ("ray-head", "worker-cpu", "worker-gpu", "sweeper"):
        assert int(given[0][0]) < gibibytes(services[name]["shm_size"])
    for group in [group for document in documents(*CLUSTERS) for group in groups(document)]:
        (shared,) = [volume for volume in group["template"]["spec"]["volumes"] if volume["name"] == "memory"]
        assert int(group["rayStartParams"]["object-store-memory"]) < gibibytes(shared["emptyDir"]["sizeLimit"])


def test_secrets_in_kubernetes_are_those_that_are_made_and_no_clusters_own() -> None:
    """KubeRay keeps the token of a cluster in a secret of the cluster's name, since 1.5.1."""
    named = {name for file in MANIFESTS for name in re.findall(r"secretName: ([\w-]+)", file.read_text())}
    assert named == set(re.findall(r"create secret generic (\S+)", README))
    assert not named & {document["metadata"].get("name") for document in documents(*CLUSTERS)}
    keys = set(re.findall(r'--from-file="\$secrets/(\w+)"', README))
    assert keys >= {key for file in MANIFESTS for key in re.findall(r"subPath: (\w+)", file.read_text())}
    assert keys >= set(re.findall(r"\$secrets/(\w+)", (DOCKER / "mlflow" / "start.sh").read_text()))
    versions = re.findall(r"KubeRay ([\d.]+) or newer", "".join(file.read_text() for file in CLUSTERS) + README)
    assert versions == ["1.5.1"] * 3
    assert all(file.name in README for file in MANIFESTS)


def test_only_the_driver_knows_mlflow_and_its_password() -> None:
    """A trial's code runs on the workers. KubeRay runs a job's entrypoint on the head, as `kubectl exec` does."""
    services = {name: yaml.safe_dump(service) for name, service in compose()["services"].items()}
    rays = {"ray-head", "worker-cpu", "worker-gpu", "sweeper"}
    for word in ("MLFLOW_TRACKING_URI", "mlflow_credentials"):
        assert {name for name in rays if word in services[name]} == {"sweeper"}
        for head, *workers in map(groups, documents(*CLUSTERS)):
            assert word in yaml.safe_dump(head)
            assert not any(word in yaml.safe_dump(group) for group in workers)


@pytest.mark.parametrize("file", CLUSTERS, ids=lambda file: file.name)
def test_workers_are_of_one_kind_with_gpus_or_without(file: Path) -> None:
    """`gpus_per_trial: auto` asks for a CPU until a node is there, and takes the kind that comes."""
    without = "".join(line for line in file.read_text().splitlines(keepends=True) if "nvidia.com/gpu" not in line)
    for text, gpus in ((file.read_text(), "1"), (without, None)):
        (workers,) = cluster(yaml.safe_load(text))["workerGroupSpecs"]
        spec = workers["template"]["spec"]
        assert spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == gpus
        assert ("tolerations" in spec) is (gpus is not None)


def test_pods_keep_to_the_restricted_standard() -> None:
    found = [(document["kind"], pod["spec"]) for document in documents() for pod in pods(document)]
    assert [kind for kind, _ in found] == [
        "Job",
        "Deployment",
        "RayCluster",
        "RayCluster",
        "RayJob",
        "RayJob",
        "RayJob",
    ]
    contexts = [cluster(document)["autoscalerOptions"]["securityContext"] for document in documents(*CLUSTERS)]
    for kind, spec in found:
        assert spec["securityContext"]["runAsNonRoot"], kind
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, kind
        contexts += [container["securityContext"] for container in spec["containers"]]
    assert contexts == [{"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}] * len(contexts)


def test_only_the_autoscaler_beside_a_head_may_ask_kubernetes() -> None:
    """A trial's code runs on the workers."""
    heads = [group for document in documents(*CLUSTERS) for group in groups(document)[:1]]
    asking = [pod["spec"] for document in documents() for pod in pods(document)]
    asking = [spec for spec in asking if spec.get("automountServiceAccountToken", True)]
    assert asking == [head["template"]["spec"] for head in heads]


def test_a_head_in_kubernetes_has_the_memory_of_head_and_driver_in_compose() -> None:
    services = compose()["services"]
    needed = sum(gibibytes(services[name]["mem_limit"]) for name in ("ray-head", "sweeper"))
    for head, *_ in map(groups, documents(*CLUSTERS)):
        (container,) = head["template"]["spec"]["containers"]
        assert {gibibytes(each["memory"]) for each in container["resources"].values()} == {needed}


def test_a_job_that_failed_builds_no_further_cluster() -> None:
    (job,) = documents(DOCKER / "kuberay" / "rayjob.yaml")
    assert job["spec"]["backoffLimit"] == 0


def test_an_ingress_of_another_namespace_can_be_let_in() -> None:
    text = (DOCKER / "kuberay" / "mlflow.yaml").read_text().replace("# - namespaceSelector", "- namespaceSelector")
    policy = list(yaml.safe_load_all(text))[-1]
    assert [list(peer) for peer in policy["spec"]["ingress"][0]["from"]] == [["podSelector"], ["namespaceSelector"]]


def test_what_a_backup_and_the_commands_leave_is_no_part_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/backup/", "/out/", "mlflow.dump", "secrets.tar", "docker/secrets/"} <= set(ignored)
    assert README.index("umask 077") < README.index("secrets.tar")
