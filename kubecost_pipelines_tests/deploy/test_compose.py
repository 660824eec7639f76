"""`deploy/compose.yaml`: against the specification, and its very commands against a real PostgreSQL.

No engine is here to run the containers: what is started are the processes that they would hold.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from compose_spec import PyCompose

from kubecost_pipelines.settings import load_settings
from kubecost_pipelines_tests.deploy.compose import FILE, read_compose
from kubecost_pipelines_tests.servers import free_port, running

GIVEN = {"POSTGRES_PASSWORD": "a-password"}
DEPLOY = FILE.parent


def test_the_file_follows_the_compose_specification() -> None:
    compose = read_compose(GIVEN)

    parse(compose)

    compose["services"]["code"]["depends_on"]["postgres"]["condition"] = "service_helthy"
    with pytest.raises(ValueError, match="service_helthy"):
        parse(compose)


def parse(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    parsed.validate()
    parsed.to_spec()


def test_a_forgotten_password_is_asked_for() -> None:
    with pytest.raises(ValueError, match="set a password for PostgreSQL"):
        read_compose({})


def test_names_in_the_file_stand_for_something() -> None:
    compose = read_compose(GIVEN)
    services, volumes = compose["services"], compose["volumes"]

    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for source in (mount.split(":")[0] for mount in service.get("volumes", ())):
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes, f"{name}: {source}"
    assert services["code"]["environment"]["DAGSTER_PG_HOST"] in services
    assert services["webserver"]["environment"]["KUBECOST_PIPELINES_CODE_HOST"] in services
    assert (DEPLOY / services["code"]["build"]["context"] / services["code"]["build"]["dockerfile"]).is_file()


def test_no_container_reaches_the_engine_or_gains_rights() -> None:
    services = read_compose(GIVEN)["services"]

    assert "docker.sock" not in json.dumps(services)
    assert not any(service.get("privileged") for service in services.values())
    ours = [service for service in services.values() if service["image"].startswith("kubecost-pipelines")]
    assert len(ours) == 3
    assert all(service["cap_drop"] == ["ALL"] for service in ours)
    # The webserver has no login: it is for this machine.
    assert [port for service in services.values() for port in service.get("ports", ())] == ["127.0.0.1:3000:3000"]


def test_only_the_code_server_knows_the_secrets_of_bills() -> None:
    services = read_compose(GIVEN)["services"]

    assert [name for name, service in services.items() if "env_file" in service] == ["code"]


def test_the_sample_settings_load() -> None:
    settings = load_settings(DEPLOY / "settings/kubecost-pipelines.yaml")

    assert settings
    assert [cluster.name for cluster in settings.clusters] == ["prod-eks-1"]


@dataclass
class Running:
    """The services of the file, as processes of this machine."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture
def services(postgres_port: int, tmp_path: Path) -> Iterator[Running]:
    """Start the code server, the webserver and the daemon with the commands and the environment of the file."""
    compose = read_compose(GIVEN)["services"]
    ports = {"4000": free_port(), "3000": free_port(), "5432": postgres_port}
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"lake: {(tmp_path / 'lake').as_uri()}\nstart_date: 2026-10-01\n", encoding="utf-8")
    here = {"0.0.0.0": "127.0.0.1", "postgres": "127.0.0.1", "code": "127.0.0.1"}
    here |= {theirs: str(ours) for theirs, ours in ports.items()}
    for file in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(DEPLOY / file, tmp_path)

    def command(service: str) -> tuple[list[str], dict[str, str]]:
        words = [here.get(word, word) for word in compose[service]["command"]]
        given = {name: here.get(value, value) for name, value in compose[service]["environment"].items()}
        of_test = {
            # The database and the user that the container of PostgreSQL would make.
            "DAGSTER_PG_USER": "postgres",
            "DAGSTER_PG_DB": "postgres",
            "DAGSTER_HOME": str(tmp_path),
            "DAGSTER_COMPUTE_LOGS": str(tmp_path / "logs"),
            "KUBECOST_PIPELINES_CONFIG": str(settings),
        }
        return [str(Path(sys.executable).parent / words[0]), *words[1:]], {**given, **of_test}

    with ExitStack() as started:
        for service, port in (("code", ports["4000"]), ("webserver", ports["3000"]), ("daemon", None)):
            words, environment = command(service)
            started.enter_context(running(words, port, cwd=tmp_path, seconds=90, **environment))
        yield Running(f"http://127.0.0.1:{ports['3000']}")


LAUNCH = """
mutation Launch($assets: [AssetKeyInput!]) {
  launchPipelineExecution(executionParams: {mode: "default", selector: {
    repositoryLocationName: "kubecost_pipelines", repositoryName: "__repository__", pipelineName: "__ASSET_JOB",
    assetSelection: $assets, assetCheckSelection: null
  }}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"
ASSET = """
query Asset($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 1) { runId } } }
}
"""


@pytest.mark.timeout(300)
def test_the_files_commands_run_an_asset_that_the_ui_was_asked_for(services: Running) -> None:
    key = {"path": ["connection_status"]}
    launched = services.ask(LAUNCH, assets=[key])["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]

    # The daemon takes it from the queue, the code server runs it.
    status = _wait(lambda: services.ask(RUN, id=run)["runOrError"]["status"], {"SUCCESS", "FAILURE", "CANCELED"})

    assert status == "SUCCESS"
    assert services.ask(ASSET, key=key)["assetOrError"]["assetMaterializations"] == [{"runId": run}]


def _wait(ask: Callable[[], str], ends: set[str]) -> str:
    deadline = time.monotonic() + 150
    while (answer := ask()) not in ends:
        assert time.monotonic() < deadline, f"still {answer}"
        time.sleep(1)
    return answer
