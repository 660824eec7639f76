"""Every process, off for one bill or cluster and for all: no asset, no schedule, and a status that says so."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.operations.status import read_status
from kubecost_pipelines.settings import Settings

STORES = ("aws/012345678901", "gcp/acme-prod")
CLUSTERS = ("prod-eks-1", "prod-eks-2")
OF_ALLOCATIONS = ("allocations", "reconciled_allocations")
MADE = {
    "cloud_assets": (STORES, ("cloud_assets",), None),
    "reconciliation": (STORES, ("reconciled_assets",), None),
    # What has no allocations has nothing to export.
    "allocations": (CLUSTERS, (*OF_ALLOCATIONS, "allocation_export"), "export_gaps"),
    "export": (CLUSTERS, ("allocation_export",), "export_gaps"),
}
"""Process -> its keys, the tables that it makes of each, and its schedule."""


def settings(**off: Any) -> Settings:
    """Return two bills and two clusters; `off` is for the first of each kind, or for all."""
    stores: list[dict[str, Any]] = [
        {"provider": key.partition("/")[0], "id": key.partition("/")[2], "export": "file:///bills"} for key in STORES
    ]
    clusters: list[dict[str, Any]] = [{"name": name, "endpoint": "http://kubecost:9090"} for name in CLUSTERS]
    stores[0]["off"], clusters[0]["off"] = off.get("store", []), off.get("cluster", [])
    return Settings.model_validate(
        {
            "lake": "file:///data/lake",
            "start_date": "2026-11-01",
            "cloud_stores": stores,
            "clusters": clusters,
            "export": {"location": "file:///export"},
            "off": off.get("all", []),
        }
    )


def names(found: Settings) -> set[str]:
    """Return the names of all assets and schedules."""
    definitions = build_definitions(found)
    schedules: list[Any] = list(definitions.schedules or [])
    return {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()} | {
        one.name for one in schedules
    }


@pytest.mark.parametrize("process", MADE)
@pytest.mark.parametrize("where", ["one", "all"])
def test_a_process_that_is_off_makes_nothing_and_the_status_says_so(process: str, where: str) -> None:
    keys, tables, schedule = MADE[process]
    kind = "store" if keys is STORES else "cluster"
    switched = settings(**{"all" if where == "all" else kind: [process]})
    gone = keys if where == "all" else keys[:1]

    expected = {f"{table}/{key}" for table in tables for key in gone}
    expected |= {f"{schedule}_{key.replace('-', '_')}" for key in gone} if schedule else set()
    assert names(settings()) - names(switched) == expected

    with dg.DagsterInstance.ephemeral() as instance:
        status = read_status(switched, instance, datetime(2026, 11, 8, 12, tzinfo=UTC)).to_json()
    said = {key: _is_off(status, process, key) for key in keys}
    assert said == {key: key in gone for key in keys}


def _is_off(status: dict[str, Any], process: str, key: str) -> bool:
    if key in STORES:
        found = status["cloud"][key][{"cloud_assets": "cloudUsage"}.get(process, process)]
    else:
        found = status["clusters"][key][process]
    return bool(found == {"off": True})
