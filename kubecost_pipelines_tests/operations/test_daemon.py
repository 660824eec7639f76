"""Dagster's own daemon, left alone: it asks the bill, reads its days, and makes what follows from them."""

from pathlib import Path

import dagster as dg
import yaml

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.settings import CONFIG_VARIABLE
from kubecost_pipelines_tests.dagster_server import (
    ACCOUNT,
    YESTERDAY,
    serve_dagster,
    wait_until,
    write_deployment,
)

DAYS = [YESTERDAY - DAY * i for i in range(2, -1, -1)]


def test_what_the_daemon_finds_changed_is_read_and_followed(tmp_path: Path) -> None:
    environment = write_deployment(tmp_path, DAYS)
    config = Path(environment[CONFIG_VARIABLE])
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump({**settings, "runs_by_itself": True}), encoding="utf-8")

    with serve_dagster(tmp_path, environment, seconds_in_queue=1) as server:
        made = [
            server.lake / table / "aws" / ACCOUNT / f"date={day}" / "data.parquet"
            for table in ("cloud_billing", "cloud_assets")
            for day in DAYS
        ]
        wait_until(lambda: all(path.exists() for path in made), 150)
        with server.instance() as instance:
            runs = instance.get_runs()

    billing = dg.AssetKey(["cloud_billing", "aws", ACCOUNT])
    asked = [run for run in runs if run.tags.get("dagster/sensor_name", "").startswith("bill_changes_aws")]
    assert {key for run in asked for key in run.asset_selection or ()} == {billing}
    assert any(run.tags.get("dagster/sensor_name") == "derived_tables" for run in runs if run not in asked)
