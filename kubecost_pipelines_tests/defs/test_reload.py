"""A code location that is reloaded has the bills and clusters that were added to the settings, and their automation."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from kubecost_pipelines.settings import CONFIG_VARIABLE

ROOT = Path(__file__).parents[2]
BILL = '  - {{provider: aws, id: "{0}", export: "file:///bills/{0}"}}\n'


def names(process: WorkspaceProcessContext) -> set[str]:
    location = process.create_request_context().get_code_location("kubecost_pipelines")
    [repository] = location.get_repositories().values()
    keys = {node.key.to_user_string() for node in repository.asset_graph.asset_nodes}
    return keys | {sensor.name for sensor in repository.get_sensors()}


def test_a_reload_picks_up_a_new_bill_without_a_redeploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "kubecost-pipelines.yaml"
    text = "lake: file:///data/lake\nstart_date: 2026-10-01\ncloud_stores:\n" + BILL.format("111122223333")
    settings.write_text(text, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(settings))

    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget(paths=[str(ROOT / "workspace.yaml")])) as process,
    ):
        before = names(process)
        settings.write_text(text + BILL.format("444455556666"), encoding="utf-8")
        process.reload_code_location("kubecost_pipelines")
        after = names(process)

    assert "bill_changes_aws_111122223333" in before
    assert {name for name in after - before if "/" not in name} == {"bill_changes_aws_444455556666"}
    assert {name for name in after - before if "/" in name} == {
        f"{table}/aws/444455556666"
        for table in ("connection_status", "cloud_billing", "reconciled_assets", "cloud_assets")
    }
