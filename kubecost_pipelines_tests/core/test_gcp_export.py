"""Google Cloud's export by hand: every figure below can be checked with a calculator."""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import duckdb
import ibis
import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds.keeping import keep
from kubecost_pipelines.core.bills.gcp_export import normalise
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.window import Window

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
NODE = "projects/123/instances/worker-1"
ROW = {
    "billing_account_id": "01A2B3",
    "currency": "USD",
    "service.description": "Compute Engine",
    "sku.description": "N1 Instance Core running in Americas",
    "usage_start_time": "2026-10-05 07:00:00 UTC",
    "project.id": "acme",
    "project.labels": '[{"key": "team", "value": "platform"}, {"key": "env", "value": "prod"}]',
    "labels": "[]",
    "location.region": "us-east4",
    "resource.name": NODE,
    "resource.global_name": "//compute.googleapis.com/projects/123/zones/a/instances/99",
    "cost": "10",
    "usage.amount_in_pricing_units": "24",
    "credits": "[]",
    "invoice.month": "202610",
    "cost_type": "regular",
}


def credit(type_: str, amount: str) -> str:
    return f'[{{"name": "a", "amount": {amount}, "full_name": "", "id": "cud-1", "type": "{type_}"}}]'


LABELS = """'[{"key": "VARCHAR", "value": "VARCHAR"}]'"""
AS_LISTS = f"""SELECT * REPLACE (from_json(nullif(labels, ''), {LABELS}) AS labels,
                             from_json(nullif("project.labels", ''), {LABELS}) AS "project.labels") FROM export"""


def normalised(
    engine: Backend, *changes: dict[str, Any], absent: tuple[str, ...] = (), query: str = "FROM export"
) -> list[dict[str, Any]]:
    columns = [name for name in ROW if name not in absent]
    quoted = ", ".join(f'"{name}"' for name in columns)
    typed = ", ".join(f'"{name}" VARCHAR' for name in columns)
    engine.con.execute(f"CREATE TEMP TABLE export ({typed})")
    for change in changes:
        values = [{**ROW, **change}[name] for name in columns]
        engine.con.execute(f"INSERT INTO export ({quoted}) VALUES ({', '.join('?' * len(columns))})", values)
    engine.con.execute(f"CREATE TEMP VIEW bill AS {query}")
    rows = normalise(engine.table("bill"), OCTOBER, ("team", "env"), partial(keep, engine))
    found: list[dict[str, Any]] = rows.order_by(ibis.desc("list_cost")).to_pyarrow().to_pylist()
    return found


@pytest.mark.parametrize(
    "credits_",
    [
        credit("SUSTAINED_USAGE_DISCOUNT", "-2.5"),
        credit("SUSTAINED_USAGE_DISCOUNT", "-2.5")[1:-1],
        "[{'name': 'a', 'amount': -2.5, 'full_name': None, 'id': 'x', 'type': 'PROMOTION'}]",
        '[{"amount": "-1.25", "type": "PROMOTION"}, {"amount": null}, '
        '{"amount": -1.25, "type": "DISCOUNT", "id": null}]',
    ],
    ids=["json", "struct", "python", "two of them"],
)
def test_credits_come_off_in_every_form(engine: Backend, credits_: str) -> None:
    [row] = normalised(engine, {"credits": credits_})

    costs = {name: row[f"{name}_cost"] for name in ("list", "contracted", "billed", "effective", "amortized", "net")}
    # OpenCost's amortized cost counts the credits of commitments only.
    assert costs == {
        "list": 10, "contracted": 10, "billed": Decimal("7.5"), "effective": Decimal("7.5"), "amortized": 10,
        "net": Decimal("7.5"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sku", "category"),
    [
        ("COMMITTED_USAGE_DISCOUNT", "Commitment v1: Cpu in Americas for 1 Year", "Usage"),
        ("COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE", "Commitment - dollar based v1: GCE for 1 year", "Spend"),
    ],
)
def test_a_commitments_fee_is_spread_by_its_credits_and_not_counted_twice(
    engine: Backend, kind: str, sku: str, category: str
) -> None:
    large, small, fee = normalised(
        engine,
        {"cost": "9", "credits": credit(kind, "-9")},
        {"cost": "3", "credits": credit(kind, "-3"), "resource.name": "projects/123/instances/worker-10"},
        {"cost": "2", "sku.description": sku, "resource.name": None, "resource.global_name": None},
    )

    assert [row["billed_cost"] for row in (large, small, fee)] == [0, 0, 2]
    # 2.00 of fee over credits of 9 and 3.
    assert [row["effective_cost"] for row in (large, small, fee)] == [Decimal("1.5"), Decimal("0.5"), 0]
    assert (fee["charge_category"], fee["provider_id"]) == ("Purchase", None)
    assert (large["commitment_discount_id"], large["commitment_discount_category"]) == ("cud-1", category)
    assert (large["commitment_discount_status"], large["pricing_category"]) == ("Used", "Committed")


def test_a_commitment_that_covers_nothing_keeps_its_fee(engine: Backend) -> None:
    [fee] = normalised(engine, {"cost": "2", "sku.description": "Commitment v1: Ram in Americas for 3 Year"})

    assert fee["effective_cost"] == 2


@pytest.mark.parametrize(
    ("cost_type", "category"), [("tax", "Tax"), ("adjustment", "Adjustment"), ("rounding_error", "Adjustment")]
)
def test_what_is_not_usage_is_kept_negative_or_not(engine: Backend, cost_type: str, category: str) -> None:
    [row] = normalised(engine, {"cost_type": cost_type, "cost": "-0.000000012"})

    assert (row["charge_category"], row["billed_cost"]) == (category, Decimal("-0.000000012"))


def test_usage_counts_on_its_day_whichever_invoice_it_is_on(engine: Backend) -> None:
    [row] = normalised(
        engine,
        {"usage_start_time": "2026-10-31T23:00:00", "invoice.month": "202611"},
        {"usage_start_time": "2026-11-01T00:00:00", "invoice.month": "202610"},
    )

    assert (row["date"], row["billing_period_start"]) == (date(2026, 10, 31), date(2026, 11, 1))


def test_a_resources_label_beats_its_projects(engine: Backend) -> None:
    labels = '[{"key": "team", "value": "say \\"hi\\""}, {"key": "goog-k8s-cluster-name", "value": "prod"}]'

    [row] = normalised(engine, {"labels": labels})

    assert (row["label_team"], row["label_env"]) == ('say "hi"', "prod")
    assert (row["is_kubernetes"], row["cluster"]) == (True, "prod")


def test_a_label_without_a_value_leaves_it_to_the_project_which_says_nothing_of_clusters(engine: Backend) -> None:
    of_project = '[{"key": "team", "value": "platform"}, {"key": "goog-k8s-cluster-name", "value": "prod"}]'

    [row] = normalised(engine, {"labels": '[{"key": "team", "value": null}]', "project.labels": of_project})

    assert row["label_team"] == "platform"
    assert (row["is_kubernetes"], row["cluster"]) == (False, None)


@pytest.mark.parametrize("nothing", ["[]", "", None])
@pytest.mark.parametrize("query", ["FROM export", AS_LISTS], ids=["json", "lists"])
def test_without_labels_of_either_the_others_count(engine: Backend, nothing: str | None, query: str) -> None:
    labels = '[{"key": "team", "value": "shop"}]'

    rows = normalised(
        engine,
        {"cost": "3", "labels": nothing},
        {"cost": "2", "labels": labels, "project.labels": nothing},
        {"cost": "1", "labels": nothing, "project.labels": nothing},
        query=query,
    )

    teams = {row["billed_cost"]: row["label_team"] for row in rows}
    assert teams == {3: "platform", 2: "shop", 1: None}


@pytest.mark.parametrize(
    ("name", "global_name", "expected"),
    [
        (NODE, None, "worker-1"),
        ("pvc-1f04", None, "pvc-1f04"),
        ("", "//compute.googleapis.com/projects/1/zones/a/disk/722", "722"),
        ("projects/1/", None, None),
    ],
)
def test_provider_id_is_the_last_part_of_the_name(
    engine: Backend, name: str, global_name: str | None, expected: str | None
) -> None:
    [row] = normalised(engine, {"resource.name": name, "resource.global_name": global_name})

    assert row["provider_id"] == expected


def test_an_empty_cost_is_missing_and_not_free(engine: Backend) -> None:
    [row] = normalised(engine, {"cost": ""})

    assert (row["billed_cost"], row["missing_cost_lines"]) == (0, 1)


def test_the_standard_export_is_refused_by_name(engine: Backend) -> None:
    with pytest.raises(UnknownBillError, match=r"lacks resource\.name.*Switch on the detailed"):
        normalised(engine, {}, absent=("resource.name", "resource.global_name"))


def test_a_row_without_a_day_is_not_lost(engine: Backend) -> None:
    [row] = normalised(engine, {"usage_start_time": None})

    assert row["date"] == date(2026, 10, 1)  # of its invoice


def test_a_row_without_any_day_fails(engine: Backend) -> None:
    with pytest.raises(duckdb.ConversionException, match="no usage_start_time"):
        normalised(engine, {"usage_start_time": None, "invoice.month": None})


def test_a_time_that_is_missing_fails_as_a_text_does(engine: Backend) -> None:
    columns = ", ".join(
        f"'x' AS \"{name}\"" for name in ROW if name not in ("usage_start_time", "cost", "invoice.month")
    )
    engine.con.execute(f"CREATE TEMP TABLE times AS SELECT {columns}, 1.0 AS cost, NULL::TIMESTAMP AS usage_start_time")

    with pytest.raises(duckdb.ConversionException, match="no usage_start_time"):
        normalise(engine.table("times"), OCTOBER, (), partial(keep, engine))
