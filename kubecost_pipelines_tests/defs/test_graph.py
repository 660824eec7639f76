"""The graph is under test: keys, edges, groups and what the UI shows of each asset."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from kubecost_pipelines.core.tables import TABLES
from kubecost_pipelines.definitions import build_definitions, defs
from kubecost_pipelines.settings import CONFIG_VARIABLE, CloudStoreSettings, ClusterSettings, Settings

SETTINGS = Settings.model_validate(
    {
        "lake": "file:///data/lake",
        "start_date": "2026-10-01",
        "cloud_stores": (
            CloudStoreSettings(provider="aws", id="012345678901", export="file:///bills/cur"),
            CloudStoreSettings(provider="gcp", id="my-project-1"),
        ),
        "clusters": (ClusterSettings(name="prod-eks-1", endpoint="http://kubecost:9090"),),
        "label_keys": ("team",),
    }
)

GRAPH = {
    "connection_status/aws/012345678901": set(),
    "connection_status/gcp/my-project-1": set(),
    "cloud_billing/aws/012345678901": set(),
    "cloud_billing/gcp/my-project-1": set(),
    "in_cluster_assets/prod-eks-1": set(),
    "allocations/prod-eks-1": set(),
    "asset_inventory": {"in_cluster_assets/prod-eks-1"},
    "reconciled_assets/aws/012345678901": {"cloud_billing/aws/012345678901", "asset_inventory"},
    "reconciled_assets/gcp/my-project-1": {"cloud_billing/gcp/my-project-1", "asset_inventory"},
    "cloud_assets/aws/012345678901": {"cloud_billing/aws/012345678901", "asset_inventory"},
    "cloud_assets/gcp/my-project-1": {"cloud_billing/gcp/my-project-1", "asset_inventory"},
    "external_costs": {
        "cloud_assets/aws/012345678901",
        "cloud_assets/gcp/my-project-1",
        "allocations/prod-eks-1",
    },
    "reconciled_allocations/prod-eks-1": {"allocations/prod-eks-1", "asset_costs", "external_costs"},
    "asset_costs": {"asset_inventory", "reconciled_assets/aws/012345678901", "reconciled_assets/gcp/my-project-1"},
    "serving_store": {
        "asset_costs",
        "cloud_billing/aws/012345678901",
        "cloud_billing/gcp/my-project-1",
        "cloud_assets/aws/012345678901",
        "cloud_assets/gcp/my-project-1",
        "reconciled_allocations/prod-eks-1",
    },
}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_definitions(SETTINGS).resolve_all_asset_specs()}


def test_the_graph_is_as_designed() -> None:
    assert {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs().items()} == GRAPH


def test_each_bill_and_each_cluster_has_its_group_and_tags() -> None:
    found = specs()

    assert found["cloud_billing/gcp/my-project-1"].group_name == "gcp_my_project_1"
    assert found["cloud_assets/aws/012345678901"].tags == {"provider": "aws", "provider_key": "012345678901"} | {
        name: value
        for name, value in found["cloud_assets/aws/012345678901"].tags.items()
        if name.startswith("dagster/")
    }
    assert found["allocations/prod-eks-1"].group_name == "cluster_prod_eks_1"
    assert found["asset_costs"].group_name == "costs"


STORE, CLUSTER, EVERYWHERE = "cloud_stores", "clusters", ""


@pytest.mark.parametrize(
    ("where", "off", "gone"),
    [
        (STORE, ["cloud_assets"], {"cloud_assets/aws/012345678901"}),
        (STORE, ["reconciliation"], {"reconciled_assets/aws/012345678901"}),
        (STORE, ["cloud_assets", "reconciliation"], {key for key in GRAPH if key.endswith("/aws/012345678901")}),
        (CLUSTER, ["allocations"], {"allocations/prod-eks-1", "reconciled_allocations/prod-eks-1"}),
        (CLUSTER, ["export"], set()),
        (EVERYWHERE, ["reconciliation"], {key for key in GRAPH if key.startswith("reconciled_assets/")}),
        (EVERYWHERE, ["allocations"], {"allocations/prod-eks-1", "reconciled_allocations/prod-eks-1"}),
    ],
)
def test_a_process_that_is_off_has_no_asset_and_nothing_waits_for_it(
    where: str, off: list[str], gone: set[str]
) -> None:
    settings = SETTINGS.model_dump()
    (settings[where][0] if where else settings)["off"] = off

    definitions = build_definitions(Settings.model_validate(settings))

    found = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    deps = {dep.asset_key.to_user_string() for spec in found.values() for dep in spec.deps}
    assert set(GRAPH) & set(found) == set(GRAPH) - gone
    assert deps <= set(found)


@pytest.mark.parametrize("key", [key for key in GRAPH if key != "serving_store"])
def test_the_ui_is_the_manual(key: str) -> None:
    spec = specs()[key]

    assert spec.description
    assert spec.owners == ["team:finops"]
    assert spec.kinds
    assert spec.group_name
    folder = key.partition("/")[2]
    cluster_or_key = {"cluster", "provider_key"} & set(spec.tags)
    assert bool(folder) == bool(cluster_or_key)
    assert all(folder.endswith(spec.tags[tag]) for tag in cluster_or_key)
    assert spec.freshness_policy or key.startswith("connection_status/")  # it has no day that could be late
    schema = spec.metadata["dagster/column_schema"]
    table = next(table for table in TABLES if table.name == key.partition("/")[0])
    assert [column.name for column in schema.columns][: len(table.columns)] == table.names
    assert all(column.description for column in schema.columns)


def test_columns_know_what_they_are_made_from() -> None:
    lineage = specs()["cloud_assets/aws/012345678901"].metadata["dagster/column_lineage"]

    [source] = lineage.deps_by_column["billed_cost"]
    assert (source.asset_key.to_user_string(), source.column_name) == ("cloud_billing/aws/012345678901", "billed_cost")


def test_every_asset_takes_a_range_of_days_in_one_run() -> None:
    for asset in build_definitions(SETTINGS).assets or []:
        assert isinstance(asset, dg.AssetsDefinition)
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_without_configuration_the_graph_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)

    definitions = defs()
    [spec] = definitions.resolve_all_asset_specs()
    result = dg.materialize([asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)])

    assert "MISSING_CONFIGURATION" in (spec.description or "")
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert "kubecost-pipelines.yaml" in (check.description or "")


def test_importing_the_definitions_reads_nothing() -> None:
    """Neither settings, nor a cloud SDK, nor a chart library: a wrong setting must not break the import."""
    code = (
        "import sys, kubecost_pipelines.definitions\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'boto3', 'matplotlib', 'moto', 'azure'}))"
    )
    environment = {**os.environ, CONFIG_VARIABLE: "/nowhere/at-all.yaml"}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_an_export_follows_reconciled_allocations_and_glue_follows_it() -> None:
    export = {"location": "s3://costs/exports", "glue": {"database": "costs"}}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "export": export})
    found = {spec.key.to_user_string(): spec for spec in build_definitions(settings).resolve_all_asset_specs()}

    exported, registered = found["allocation_export/prod-eks-1"], found["glue_partitions/prod-eks-1"]

    assert [dep.asset_key.to_user_string() for dep in exported.deps] == ["reconciled_allocations/prod-eks-1"]
    assert [dep.asset_key.to_user_string() for dep in registered.deps] == ["allocation_export/prod-eks-1"]
    assert exported.group_name == registered.group_name == "export"
    assert exported.metadata["path"] == "s3://costs/exports"
    schema = exported.metadata["dagster/column_schema"]
    assert len(schema.columns) == 58
    assert all(column.description for column in schema.columns)
    lineage = exported.metadata["dagster/column_lineage"].deps_by_column["cpuCost"]
    assert [one.column_name for one in lineage] == ["cpu_cost"]


def test_an_export_of_estimates_follows_the_allocations_and_can_be_switched_off() -> None:
    export = {"location": "file:///exports", "source": "estimates"}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "export": export})
    switched_off = settings.model_copy(update={"off": ("export",)})

    [with_it] = [s for s in build_definitions(settings).resolve_all_asset_specs() if s.group_name == "export"]

    assert [dep.asset_key.to_user_string() for dep in with_it.deps] == ["allocations/prod-eks-1"]
    assert not [s for s in build_definitions(switched_off).resolve_all_asset_specs() if s.group_name == "export"]
