"""Two runs of one day exclude each other from the first tick of a new deployment on."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines_tests.defs.test_graph import SETTINGS

DEPLOYED = Path(__file__).parents[2] / "dagster.yaml"


@pytest.mark.parametrize("kind", ["sensor", "schedule"])
def test_the_first_tick_gives_every_pool_the_limit_of_the_deployment(tmp_path: Path, kind: str) -> None:
    settings = SETTINGS.model_copy(update={"lake": (tmp_path / "lake").as_uri()})
    definitions = build_definitions(settings)
    concurrency = yaml.safe_load(DEPLOYED.read_text(encoding="utf-8"))["concurrency"]

    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"concurrency": concurrency}) as instance:
        assert instance.event_log_storage.get_pool_limits() == []
        _tick(definitions, instance, Workbench(settings), kind)
        limits = {one.name: one.limit for one in instance.event_log_storage.get_pool_limits()}

    assets: Any = definitions.assets
    pools = {pool for asset in assets for pool in asset.node_def.pools}
    assert len(pools) > 10
    assert limits == dict.fromkeys(pools, 1)


def _tick(definitions: dg.Definitions, instance: dg.DagsterInstance, workbench: Workbench, kind: str) -> None:
    resources: Any = {"workbench": workbench}
    if kind == "sensor":
        sensor = definitions.resolve_sensor_def("bill_changes_aws_012345678901")
        with dg.build_sensor_context(
            instance, definitions=definitions, resources=resources, sensor_name=sensor.name
        ) as context:
            sensor.evaluate_tick(context)
        return
    repository: Any = definitions.get_repository_def()
    schedule = definitions.resolve_schedule_def("settle")
    with dg.build_schedule_context(instance, resources=resources, repository_def=repository) as scheduled:
        schedule.evaluate_tick(scheduled)
