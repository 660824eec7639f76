"""A bill arrives day by day, is restated twice and finalised; after each step the lake is what a rebuild would make it.

The bill is nise's October, cut by the day of its lines; what restatements must say is added up from those lines.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.core.tables import RESTATEMENTS
from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.dagster_run import deploy
from kubecost_pipelines_tests.growing_bill import GrowingBill, Line
from kubecost_pipelines_tests.living import Living, Ran, live, rows_of
from kubecost_pipelines_tests.replay import serve_replay

IS_WHOLE = bool(os.environ.get("WHOLE_MONTH"))
pytestmark = pytest.mark.timeout(3600 if IS_WHOLE else 900)
ACCOUNT = "111122223333"
BILLING, SENSOR = f"cloud_billing/aws/{ACCOUNT}", f"bill_changes_aws_{ACCOUNT}"
DAYS = 31 if IS_WHOLE else 5
"""`make test-month` lets all of October arrive, one day per tick."""
RESTATED = date(2026, 10, 3)
TABLES = ("cloud_billing", "in_cluster_assets", "asset_inventory", "reconciled_assets", "cloud_assets", "asset_costs")


@dataclass
class Company:
    """A bill, a cluster, a deployment that runs by itself, and what its last step ran."""

    bill: GrowingBill
    living: Living
    rebuild: Callable[[], Path]
    noon: datetime = datetime(2026, 10, 1, 12, tzinfo=UTC)
    ran: list[Ran] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    def pass_day(self, today: date) -> None:
        """Let everything happen that happens by itself on a day, until nothing more does."""
        self.noon = self.living.at(str(today), 12).now
        self.ran = self.living.strike("collect_prod_eks_1")
        self._tick()
        self.ran += self.living.strike("settle")
        self.ran += self.living.follow()

    def pass_time(self, hours: int) -> None:
        """Let happen what happens some hours after the last noon, schedules aside."""
        self.living.now = self.noon + timedelta(hours=hours)
        self.ran = []
        self._tick()

    def _tick(self) -> None:
        skipped = ""
        while not skipped:
            ran, skipped = self.living.tick(SENSOR)
            self.ran += ran
        self.skips = [skipped]
        self.ran += self.living.follow()

    def days_of(self, asset: str) -> list[str]:
        """Return the days that the last step ran of an asset, each as often as it was."""
        runs = [run for run in self.ran if asset in run.assets]
        return sorted(str(day) for run in runs for day in _days(run))

    def differences(self) -> dict[str, Any]:
        """Return the rows that only one of the lake and a rebuild from scratch has, by table."""
        rebuilt, found = self.rebuild(), {}
        for table in TABLES:
            ours, theirs = (_plain(rows_of(lake, table)) for lake in (self.living.settings.lake, rebuilt))
            if ours != theirs:
                found[table] = [set(ours) ^ set(theirs)]
        return found


def _days(run: Ran) -> list[date]:
    first, last = date.fromisoformat(run.first), date.fromisoformat(run.last)
    return [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]


def _plain(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Return the cells as text: decimals exact, floats to twelve digits, for their sums have no order."""
    return sorted(tuple(f"{cell:.12g}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("month")
    bill = GrowingBill(folder / "cur")
    bill.lines = [line for line in bill.lines if line["lineItem/UsageStartDate"][:10] <= f"2026-10-{DAYS:02}"]
    store = CloudStoreSettings(provider="aws", id=ACCOUNT, export=(folder / "cur").as_uri())
    with ExitStack() as opened:
        replay = opened.enter_context(serve_replay())
        cluster = ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, provider="aws", account=ACCOUNT)
        options: dict[str, Any] = {"label_keys": ("team",), "off": ("allocations",)}
        living = opened.enter_context(live(folder, [store], [cluster], days_per_tick=3, refresh_hours=1, **options))

        def rebuild() -> Path:
            scratch = tmp_path_factory.mktemp("rebuilt")
            last = max(rows_of(living.settings.lake, "cloud_billing", "date"))[0]
            with deploy(
                scratch, [store], [cluster], ("2026-10-01", str(last)), clock=lambda: living.now, **options
            ) as again:
                assert again().success
            return scratch / "lake"

        yield Company(bill, living, rebuild)


def october(day: int) -> date:
    return date(2026, 10, day)


def test_days_arrive_and_only_new_ones_run(company: Company) -> None:
    for first, last in ((1, 2), (3, 5)) if DAYS == 5 else ((day, day) for day in range(1, DAYS + 1)):
        company.bill.deliver(october(last))
        company.pass_day(october(1) + last * DAY)

        new = [str(october(day)) for day in range(first, last + 1)]
        assert company.days_of(BILLING) == new
        assert set(company.days_of("asset_costs")) - set(new) <= _settling(first, last)
        assert company.differences() == {}
    assert rows_of(company.living.settings.lake, "restatements") == []


def _settling(first: int, last: int) -> set[str]:
    """Return the days that settle when the bill of `first` to `last` arrives, and those after, which they price."""
    return {str(october(day)) for day in range(max(1, first - 2), last)}


def test_nothing_runs_where_nothing_has_changed(company: Company) -> None:
    company.pass_time(hours=1)

    assert company.ran == []
    assert company.skips == ["Nothing has changed."]


def test_a_changed_manifest_runs_the_changed_day_alone_and_tells_before_and_after(company: Company) -> None:
    company.bill.change(RESTATED, _double_s3)
    company.bill.deliver(october(DAYS))
    file = company.living.path(BILLING, f"date={RESTATED}", "data.parquet")
    before = file.read_bytes()

    company.pass_time(hours=2)
    first = restatements(company)
    file.write_bytes(before)  # as if the run had died before it published the day
    company.pass_time(hours=3)

    assert company.days_of(BILLING) == [str(RESTATED)]
    # Only the serving store has no days.
    assert {(run.first, run.last) for run in company.ran if run.first} == {(str(RESTATED), str(RESTATED))}
    assert company.differences() == {}
    assert [(row["service_name"], row["revision"]) for row in first] == [("AmazonS3", 1)]
    [again] = restatements(company)
    assert again | {"seen_at": None} == first[0] | {"seen_at": None}
    s3 = sum(Decimal(line["lineItem/UnblendedCost"]) for line in company.bill.on(RESTATED, "AmazonS3")) / 2
    assert s3 > 0
    assert (again["billed_cost_before"], again["billed_cost_after"]) == (s3, 2 * s3)
    told = company.living.metadata(BILLING, str(RESTATED))
    assert told["restated"] == f"billed cost {s3:+,.6f}, effective cost {s3:+,.6f}"
    [row] = [record.data for record in told["restatement"].records]
    assert (row["service_name"], row["category"]) == ("AmazonS3", "Storage")
    shown = [float(row[f"billed_cost_{name}"]) for name in ("before", "after", "difference")]
    assert shown == pytest.approx([float(s3), 2 * float(s3), float(s3)], abs=1e-6)


def test_a_late_credit_on_an_old_day_is_a_second_revision_and_the_table_adds_up(company: Company) -> None:
    [plain, *_] = company.bill.on(RESTATED, "AmazonEC2")
    credit = {"lineItem/LineItemType": "Credit", "lineItem/UnblendedCost": "-7.5", "lineItem/ResourceId": ""}
    first_version = sum(billed(company, RESTATED)) - sum(row["billed_cost_difference"] for row in restatements(company))
    company.bill.add(plain | credit)
    company.bill.deliver(october(DAYS))

    company.pass_time(hours=4)

    assert company.days_of(BILLING) == [str(RESTATED)]
    assert company.differences() == {}
    [_, row] = restatements(company)
    assert (row["restatement_id"], row["billed_cost_difference"]) == (f"aws/{ACCOUNT}/{RESTATED}/2", Decimal("-7.5"))
    moved = sum(row["billed_cost_difference"] for row in restatements(company))
    assert first_version + moved == sum(billed(company, RESTATED))


def test_a_finalised_copy_is_read_and_is_no_change(company: Company) -> None:
    history = restatements(company)
    for line in company.bill.lines:
        line["bill/InvoiceId"] = "2026-1001"
    company.bill.deliver(october(DAYS))

    company.pass_time(hours=5)

    assert company.days_of(BILLING) == [str(october(day)) for day in range(1, DAYS + 1)]
    assert company.differences() == {}
    assert set(rows_of(company.living.settings.lake, "cloud_billing", "DISTINCT invoice_id")) == {("2026-1001",)}
    assert restatements(company) == history
    versions = {company.living.metadata(BILLING, str(october(day)))["version"] for day in range(1, DAYS + 1)}
    assert versions == {"no change"}


def _double_s3(line: Line) -> None:
    if line["lineItem/ProductCode"] == "AmazonS3":
        line["lineItem/UnblendedCost"] = str(2 * Decimal(line["lineItem/UnblendedCost"]))


def restatements(company: Company) -> list[dict[str, Any]]:
    names = RESTATEMENTS.names
    rows = rows_of(company.living.settings.lake, "restatements", ", ".join(names))
    return sorted((dict(zip(names, row, strict=True)) for row in rows), key=lambda row: row["revision"])


def billed(company: Company, day: date) -> list[Decimal]:
    rows = rows_of(company.living.settings.lake, "cloud_billing", "date, billed_cost")
    return [cost for found, cost in rows if found == day]
