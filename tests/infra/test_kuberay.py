"""The manifests are what KubeRay, kustomize and `ray up` accept, and name what headrace has."""

import gzip
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERAY = REPOSITORY / "infra" / "kuberay"


def strict(schema: Any) -> Any:
    """A Kubernetes structural schema as JSON schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {key: strict(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        closed["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture(scope="module")
def rayjob_schema(shared_data: Path) -> Any:
    path = shared_data / "schemas" / "kuberay" / "ray.io_rayjobs.yaml.gz"
    definition = yaml.safe_load(gzip.decompress(path.read_bytes()))
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
    assert version["served"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # the API server knows it, the CRD does not
    return schema


@pytest.fixture
def rayjob() -> Any:
    return yaml.safe_load((KUBERAY / "rayjob.yaml").read_text())


def groups(rayjob: Any) -> list[Any]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.data
def test_rayjob_is_valid(rayjob: Any, rayjob_schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(rayjob_schema)
    jsonschema.Draft202012Validator(rayjob_schema).validate(rayjob)


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "shutdownAfterJobsFinish"), True),
        (("spec", "submissionMode"), 3),
        (("spec", "rayClusterSpec", "headGroupSpec", "image"), "headrace"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "container"), []),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "password"),
    ],
)
def test_the_schema_is_strict(rayjob: Any, rayjob_schema: Any, path: tuple[str, ...], value: object) -> None:
    place = rayjob
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError, match=re.escape(str(path[-1]))):
        jsonschema.Draft202012Validator(rayjob_schema).validate(rayjob)


def test_the_entrypoint_is_a_command_that_headrace_has(rayjob: Any) -> None:
    from headrace.pipelines.cli.main import app

    program, command, recipe = shlex.split(rayjob["spec"]["entrypoint"])
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert program in scripts
    assert command in typer.main.get_group(app).commands
    head = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mount,) = head["containers"][0]["volumeMounts"]
    (volume,) = head["volumes"]
    assert Path(recipe).parent == Path(mount["mountPath"])
    assert volume["name"] == mount["name"]
    kustomization = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    assert generator["name"] == volume["configMap"]["name"]
    assert generator["files"] == [Path(recipe).name]


def test_the_mounted_recipe_is_one() -> None:
    from headrace.pipelines import recipe

    loaded = recipe.load(str(KUBERAY / "recipe.yaml"))
    paths = [loaded.output, *(path for s in loaded.sources for path in [s.path])]
    assert all(str(path).startswith("s3://") for path in paths)  # pods share no disk
    assert loaded.model


def test_every_pod_has_the_image_the_credentials_and_equal_limits(rayjob: Any) -> None:
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == metadata.version("ray")
    for group in groups(rayjob):
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == "headrace"
        assert container["envFrom"] == [{"secretRef": {"name": "headrace-s3"}}]
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_kustomize_builds_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on the path")
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERAY)], check=True, capture_output=True, text=True, timeout=60
    )
    config, job = sorted(yaml.safe_load_all(built.stdout), key=lambda document: document["kind"])
    assert config["kind"] == "ConfigMap"
    assert config["data"]["recipe.yaml"] == (KUBERAY / "recipe.yaml").read_text()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for group in groups(job):
        assert group["template"]["spec"]["containers"][0]["image"] == f"headrace:{project['version']}"


def test_ray_up_accepts_the_cluster() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = yaml.safe_load((REPOSITORY / "infra" / "ray" / "cluster.yaml").read_text())
    validate_config(prepare_config(cluster))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert cluster["docker"]["image"].endswith(f"headrace:{project['version']}")
    token = cluster["file_mounts"]
    assert f"--env RAY_AUTH_TOKEN_PATH={next(iter(token))}" in cluster["docker"]["run_options"]


def test_the_image_is_made_of_files_that_are_there() -> None:
    text = (REPOSITORY / "infra" / "Dockerfile").read_text()
    allowed = (REPOSITORY / "infra" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [
        source for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert f"!{source}" in allowed, f"{source} is not part of the build context"
    faiss = [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if "faiss" in line]
    assert faiss[0].replace("faiss-cpu", "faiss-gpu") in text  # both variants at one version
