"""`deploy/helm` and `deploy/kustomize`, rendered by helm and kubectl and checked against Kubernetes' own schemas.

Dagster's chart itself is not here: a stand-in takes the values under the names that the chart documents.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.container_context import K8sContainerContext

from kubecost_pipelines.settings import load_settings
from kubecost_pipelines_tests.servers import COMPONENTS

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = Path(__file__).parent / "chart"
VALUES = DEPLOY / "helm/values.yaml"
KUBERNETES = "1.33"


def run(tool: str, *arguments: str | Path, is_refused: bool = False) -> str:
    """Run helm or kubectl; gives what it printed, or its complaint where it must refuse."""
    binary = shutil.which(tool, path=str(COMPONENTS / "bin"))
    if binary is None:
        pytest.skip(f"{tool} is not here: make components")
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == is_refused, done.stderr
    return done.stderr if is_refused else done.stdout


def rendered(text: str) -> dict[str, Any]:
    """Return the manifests by kind and name, each of them valid."""
    manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    return {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in manifests}


@pytest.fixture
def release() -> dict[str, Any]:
    return rendered(run("helm", "template", "dagster", CHART, "--values", VALUES))


@pytest.fixture
def production(tmp_path: Path) -> dict[str, Any]:
    """Render the overlay with the secrets of its examples."""
    kustomize = shutil.copytree(DEPLOY / "kustomize", tmp_path / "kustomize")
    for example in kustomize.rglob("*.env.example"):
        shutil.copy(example, example.with_suffix(""))
    return rendered(run("kubectl", "kustomize", kustomize / "production"))


def test_the_release_finds_what_the_overlay_makes(release: dict[str, Any], production: dict[str, Any]) -> None:
    pod = release["Deployment/kubecost-pipelines"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))

    assert f"ConfigMap/{pod['volumes'][0]['configMap']['name']}" in production
    assert f"Secret/{container['envFrom'][0]['secretRef']['name']}" in production
    password = production[f"Secret/{values['global']['postgresqlSecretName']}"]
    assert list(password["data"]) == ["postgresql-password"]
    assert {name for name in production if name.startswith("Namespace/")} == {"Namespace/kubecost-pipelines"}


def test_every_secret_that_the_settings_name_is_given(production: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "kubecost-pipelines.yaml"
    path.write_text(
        production["ConfigMap/kubecost-pipelines-settings"]["data"]["kubecost-pipelines.yaml"], encoding="utf-8"
    )

    settings = load_settings(path)

    assert settings
    assert [cluster.name for cluster in settings.clusters] == ["prod-eks-1", "prod-eks-2"]
    given = set(production["Secret/kubecost-pipelines-secrets"]["data"])
    assert {cluster.token_env for cluster in settings.clusters} <= given


def test_the_base_has_settings_that_load() -> None:
    settings = load_settings(DEPLOY / "kustomize/base/kubecost-pipelines.yaml")

    assert settings == load_settings(DEPLOY / "settings/kubecost-pipelines.yaml")


def test_settings_scratch_and_identity_are_where_the_image_looks(release: dict[str, Any]) -> None:
    pod = release["Deployment/kubecost-pipelines"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    environment = {variable["name"]: variable["value"] for variable in container["env"]}

    assert Path(environment["KUBECOST_PIPELINES_CONFIG"]).parent == Path(mounts["settings"])
    settings = load_settings(DEPLOY / "kustomize/production/kubecost-pipelines.yaml")
    assert settings
    assert settings.scratch == mounts["scratch"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert "USER 10001:10001" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def test_dagster_takes_the_instance_of_the_release(
    release: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "a-password")
    (tmp_path / "dagster.yaml").write_text(release["ConfigMap/instance"]["data"]["dagster.yaml"], encoding="utf-8")

    config, _ = dagster_instance_config(str(tmp_path))

    shipped = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    assert config["concurrency"]["pools"] == shipped["concurrency"]["pools"]
    assert config["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert config["freshness"] == shipped["freshness"]


def test_runs_get_the_environment_the_volumes_and_the_limits_of_the_code_server() -> None:
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    [deployment] = values["dagster-user-deployments"]["deployments"]

    # What the chart hands to the code server for the runs, read by what launches them.
    context = K8sContainerContext.create_from_config(
        {
            "k8s": {
                "env": deployment["env"],
                "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
                "volumes": deployment["volumes"],
                "volume_mounts": deployment["volumeMounts"],
                "resources": deployment["resources"],
                "security_context": deployment["securityContext"],
            }
        }
    )

    container = context.run_k8s_config.container_config
    assert container["env_from"] == [{"secret_ref": {"name": "kubecost-pipelines-secrets"}}]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert [mount["name"] for mount in container["volume_mounts"]] == ["settings", "scratch"]
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}


def test_the_charts_version_is_dagsters() -> None:
    pins = (DEPLOY.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    [version] = [pin.removeprefix("dagster==") for pin in pins if pin.startswith("dagster==")]

    for file in (VALUES, DEPLOY / "README.md"):
        assert f"--version {version}" in file.read_text(encoding="utf-8"), file


def test_a_misspelt_value_is_refused(tmp_path: Path) -> None:
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    values["dagster-user-deployments"]["deployments"][0]["envSecret"] = []
    (tmp_path / "values.yaml").write_text(json.dumps(values), encoding="utf-8")

    complaint = run("helm", "template", "dagster", CHART, "--values", tmp_path / "values.yaml", is_refused=True)

    assert "envSecret" in complaint
