"""The instance and the workspace that we ship, loaded by Dagster itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.settings import CONFIG_VARIABLE, Settings, load_settings

ROOT = Path(__file__).parents[2]


def test_the_shipped_instance_loads(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert "Sqlite" in type(instance.event_log_storage).__name__
        assert instance.run_retries_enabled


def test_the_commented_postgresql_storage_works_as_it_stands(
    postgres_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    commented = text[text.index("# storage:") : text.index("\nconcurrency:")]
    (tmp_path / "dagster.yaml").write_text(re.sub(r"^# ?", "", commented, flags=re.MULTILINE), encoding="utf-8")
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(postgres_port),
        "USER": "postgres",
        "PASSWORD": "x",
        "DB": "postgres",
    }.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)

    @dg.asset
    def one() -> None: ...

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([one], instance=instance).success

        assert instance.get_latest_materialization_event(dg.AssetKey("one")) is not None
        assert "Postgres" in type(instance.event_log_storage).__name__


def test_the_workspace_loads_the_graph(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("lake: file:///nowhere\nstart_date: 2026-10-01\n", encoding="utf-8")
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
    environment = {**os.environ, CONFIG_VARIABLE: str(settings), "DAGSTER_HOME": str(tmp_path)}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_wrong_settings_end_in_one_clear_line_for_the_user(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("lake: file:///nowhere\nstart_date: 2026-10-01\ncloud_store: []\n", encoding="utf-8")
    environment = {**os.environ, CONFIG_VARIABLE: str(settings)}
    command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "dev"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 2
    assert "cloud_store: Extra inputs are not permitted; remove it, or correct its spelling" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readmes_settings_load(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "kubecost-pipelines.yaml"
    path.write_text(example, encoding="utf-8")

    settings = load_settings(path)

    assert isinstance(settings, Settings)
    # Four of each bill, three of the cluster, and four over all of them.
    assert len(list(build_definitions(settings).assets or [])) == 3 * 4 + 3 + 4
    assert yaml.safe_load(example)["clusters"][0]["name"] == "prod-eks-1"
