"""Works: what is measured. Each prepares its data, which is not measured, and returns the work, which is.

A work runs in a fresh process, with the libraries of all of them imported.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import ibis.expr.types as ir

from benchmarks import allocation_data, asset_data, bill_data, cloud_data, workload_data
from benchmarks.bill_data import LABEL_KEYS, LAST_DAY, MONTH, PAYER
from benchmarks.server import serve
from kubecost_pipelines.clouds import open_store
from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.core.bills import azure_costs, gcp_export
from kubecost_pipelines.core.bills.aws_cur import canonical_name
from kubecost_pipelines.core.bills.aws_lines import source_columns
from kubecost_pipelines.core.claiming import claim
from kubecost_pipelines.core.external_costs import external_rows
from kubecost_pipelines.core.provider_key import Provider
from kubecost_pipelines.core.reconciliation import (
    for_claiming,
    for_reconciling,
    leave_unclaimed,
    reconcile,
    sum_by_asset,
)
from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    ASSET_INVENTORY,
    CLOUD_ASSETS,
    CLOUD_BILLING,
    EXTERNAL_COSTS,
    RECONCILED_ASSETS,
)
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.defs.reconciled_allocations import stage_workload_costs
from kubecost_pipelines.defs.reconciliation import THREADS
from kubecost_pipelines.defs.workbench import Tools
from kubecost_pipelines.lake import Lake, Staged, open_engine
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.exports.old_exporter import old_rows
from kubecost_pipelines_tests.s3 import serve_s3

Work = Callable[[], dict[str, float] | None]

KEY = ("aws", PAYER)
WINDOW = Window.of_days(MONTH, LAST_DAY)
ALLOCATIONS_DAY = date(2026, 10, 5)
EXPORT_ARN = "arn:aws:eks:us-east-1:111122223333:cluster/prod-1"
MEMORY_LIMIT = str(Settings.model_fields["memory_limit"].default)
_PROVED = ("billed_cost", "effective_cost")


class Bench:
    """The data for one number of lines, made when first asked for, and a scratch folder."""

    def __init__(self, folder: Path, lines: int) -> None:
        self.folder = folder / f"{lines}-lines"
        self.lines = lines
        self.scratch = folder / "scratch" / uuid4().hex

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder `name`, which `make` fills once."""
        folder = self.folder / name
        if not folder.exists():
            unfinished = self.folder / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.rename(folder)
        return folder

    def parquet_export(self, files: int = 1) -> Path:
        def make(folder: Path) -> None:
            bill_data.write_parquet_export(folder / "cur", self.lines, files)

        return self.made(f"parquet-{files}", make) / "cur"

    def csv_export(self) -> Path:
        return self.made("csv", lambda folder: bill_data.write_csv_export(folder / "cur", self.lines)) / "cur"

    def gcp_export(self, times: int = 1) -> Path:
        return self.made(f"gcp-named-{times}", lambda folder: cloud_data.write_gcp_export(folder, times * self.lines))

    def gcp_export_as_made(self) -> Path:
        def make(folder: Path) -> None:
            cloud_data.write_gcp_export(folder, self.lines, is_as_made=True)

        return self.made("gcp-as-made", make)

    def azure_export(self, times: int = 1) -> Path:
        return self.made(f"azure-{times}", lambda folder: cloud_data.write_azure_export(folder, times * self.lines))

    def lake(self) -> Path:
        """Return a lake with the bill and the inventory of the month."""
        export = self.parquet_export()

        def make(folder: Path) -> None:
            copy_bill(export, folder, self.scratch, [WINDOW])
            with open_engine(MEMORY_LIMIT, self.scratch) as engine:
                asset_data.write_inventory(open_lake(folder, self.scratch), engine, WINDOW, self.lines)

        return self.made("lake", make)

    def workloads(self, count: int) -> Path:
        """Return a lake with a day of so many allocations and the assets that they use."""

        def make(folder: Path) -> None:
            with open_engine(MEMORY_LIMIT, self.scratch) as engine:
                lake = open_lake(folder, self.scratch)
                for table, key in ((ALLOCATIONS, [workload_data.CLUSTER]), (ASSET_COSTS, [])):
                    file = Path(lake.path(table, key, ALLOCATIONS_DAY))
                    file.parent.mkdir(parents=True)
                    workload_data.write(table, engine, count, file)

        return self.made(f"workloads-{count}", make)

    def allocations(self, count: int, **shape: float) -> Path:
        name = "-".join(["allocations", str(count), *(f"{key}-{value}" for key, value in shape.items())])
        return self.made(name, lambda f: allocation_data.write_answer(f / "answer.json", count, **shape))


def normalise_parquet(bench: Bench) -> Work:
    export = bench.parquet_export()
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW])


def normalise_ten_times(bench: Bench) -> Work:
    export = bench.parquet_export(10)
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW])


def normalise_csv(bench: Bench) -> Work:
    export = bench.csv_export()
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW])


def normalise_month(bench: Bench) -> Work:
    export = bench.parquet_export()
    window = Window.of_days(*_thirty_days())
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [window])


def normalise_by_day(bench: Bench) -> Work:
    export = bench.parquet_export()
    days = Window.of_days(*_thirty_days()).days
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [Window.of_day(day) for day in days])


def copy_parquet(bench: Bench) -> Work:
    """DuckDB's own copy of the columns that `normalise` reads."""
    files = bench.parquet_export() / "year=2026/month=10/*.parquet"

    def work() -> None:
        with duckdb.connect() as engine:
            engine.execute(f"COPY (SELECT {', '.join(columns)} FROM '{files}') TO '{target}' ({_ZSTD})")

    target = bench.scratch / "copy.parquet"
    with open_engine(MEMORY_LIMIT, bench.scratch) as engine:
        tags = [canonical_name(name) for name in bill_data.TAGS]
        columns = [*source_columns(engine.read_parquet(str(files))), *tags]
    return work


def copy_csv(bench: Bench) -> Work:
    """DuckDB's own copy of the CSV, as text."""
    files = bench.csv_export() / "20261001-20261101/*/*.csv.gz"
    target = bench.scratch / "copy.parquet"

    def work() -> None:
        with duckdb.connect() as engine:
            engine.execute(f"COPY (FROM read_csv('{files}', all_varchar = true)) TO '{target}' ({_ZSTD})")

    return work


def normalise_gcp(bench: Bench) -> Work:
    export = bench.gcp_export()
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW], "gcp")


def normalise_gcp_as_made(bench: Bench) -> Work:
    export = bench.gcp_export_as_made()
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW], "gcp")


def normalise_gcp_five_times(bench: Bench) -> Work:
    export = bench.gcp_export(5)
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW], "gcp")


def normalise_azure_five_times(bench: Bench) -> Work:
    export = bench.azure_export(5)
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW], "azure")


def copy_gcp(bench: Bench) -> Work:
    """DuckDB's own copy of the fields that `normalise` reads."""
    return _copy_columns(bench, f"'{bench.gcp_export()}/*.parquet'", _GCP_FIELDS)


def copy_gcp_as_made(bench: Bench) -> Work:
    return _copy_columns(bench, f"'{bench.gcp_export_as_made()}/*.parquet'", _GCP_FIELDS)


def normalise_azure(bench: Bench) -> Work:
    export = bench.azure_export()
    return lambda: copy_bill(export, bench.scratch / "lake", bench.scratch, [WINDOW], "azure")


def copy_azure(bench: Bench) -> Work:
    """DuckDB's own copy of the columns that `normalise` reads."""
    source, columns = _azure_source(bench)
    return _copy_columns(bench, source, columns)


def _azure_source(bench: Bench) -> tuple[str, Sequence[str]]:
    [file] = bench.azure_export().glob("*/*.csv")
    source = f"read_csv('{file}', all_varchar = true, quote = '\"', escape = '\"')"
    with duckdb.connect() as engine:
        return source, azure_costs.star_columns(engine.table_function("read_csv", [str(file)]).columns).all


def _copy_columns(bench: Bench, source: str, columns: Sequence[str]) -> Work:
    target = bench.scratch / "copy.parquet"

    def work() -> None:
        with duckdb.connect() as engine:
            engine.execute(f"COPY (SELECT {', '.join(columns)} FROM {source}) TO '{target}' ({_ZSTD})")

    return work


def load_50_stores(_: Bench) -> Work:
    return _load(50)


def load_300_stores(_: Bench) -> Work:
    return _load(300)


def _load(stores: int) -> Work:
    """Build the graph of so many bills, and a fifth as many clusters, as Dagster does when it loads the project."""
    bills = [{"provider": "aws", "id": f"{number:012d}", "export": "s3://acme/cur"} for number in range(stores)]
    clusters = [{"name": f"prod-{number}", "endpoint": "http://kubecost"} for number in range(stores // 5)]
    content = {"lake": "file:///lake", "start_date": MONTH, "cloud_stores": bills, "clusters": clusters}

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build_definitions(Settings.model_validate(content)).get_repository_def()

    return work


def reconcile_month(bench: Bench) -> Work:
    """What the asset `reconciled_assets` does, its proof of conservation included."""
    return _half_of_bill(bench, is_claimed=True)


def leave_month(bench: Bench) -> Work:
    """What the asset `cloud_assets` does, likewise."""
    return _half_of_bill(bench, is_claimed=False)


def _half_of_bill(bench: Bench, *, is_claimed: bool) -> Work:
    lake = open_lake(bench.lake(), bench.scratch)
    target = open_lake(bench.scratch / "lake", bench.scratch)

    def work() -> None:
        with open_engine(MEMORY_LIMIT, bench.scratch, THREADS) as engine:
            bill = lake.read(CLOUD_BILLING, KEY, WINDOW.days, engine)
            inventory = lake.read(ASSET_INVENTORY, [], WINDOW.days, engine)
            inventory = engine.create_table("inventory", for_claiming(inventory, LABEL_KEYS), temp=True)
            claims = claim(for_reconciling(bill, "effective", LABEL_KEYS) if is_claimed else bill, inventory)
            claims = sum_by_asset(claims, "effective", LABEL_KEYS) if is_claimed else claims
            claims = engine.create_table("claims", claims, temp=True)
            mine, table = leave_unclaimed(claims), CLOUD_ASSETS
            if is_claimed:
                table = RECONCILED_ASSETS
                mine = reconcile(
                    claims, inventory, provider_key="/".join(KEY), last_settled=LAST_DAY, label_keys=LABEL_KEYS
                )
            staged = target.stage(table, mine, engine)
            _prove(lake, staged, claims.filter(claims.asset_id.isnull() if is_claimed else claims.asset_id.notnull()))
            target.publish(staged, KEY, WINDOW.days)

    return work


def _prove(lake: Lake, staged: Staged, other: ir.Table) -> None:
    rest = other.group_by("date").aggregate(**{name: other[name].sum().fill_null(0) for name in _PROVED})
    by_day = {row["date"]: row for row in rest.to_pyarrow().to_pylist()}
    for day in WINDOW.days:
        billed = lake.describe(CLOUD_BILLING, KEY, day)
        for name in _PROVED:
            mine = staged.by_day[day].sums[name] if day in staged.by_day else 0
            assert billed is not None
            assert billed.sums[name] == mine + by_day.get(day, {name: 0})[name]


def fetch_allocations(bench: Bench) -> Work:
    return _fetch(bench, bench.allocations(bench.lines // 10))


def fetch_five_times(bench: Bench) -> Work:
    return _fetch(bench, bench.allocations(bench.lines // 2))


def _fetch(bench: Bench, answer: Path) -> Work:
    def work() -> None:
        with serve(answer / "answer.json") as endpoint:
            settings = ClusterSettings(name="prod-1", endpoint=endpoint, verify_totals=False)
            ClusterClient(settings).fetch_allocations(ALLOCATIONS_DAY, bench.scratch / "allocations.parquet")

    return work


def export_10k(bench: Bench) -> Work:
    return _export(bench, bench.lines // 100)


def export_100k(bench: Bench) -> Work:
    return _export(bench, bench.lines // 10)


def export_500k(bench: Bench) -> Work:
    return _export(bench, bench.lines // 2)


def export_without_volumes(bench: Bench) -> Work:
    return _export(bench, bench.lines // 10, volume_share=0.0)


def export_many_labels(bench: Bench) -> Work:
    return _export(bench, bench.lines // 10, rare_labels=1000)


def export_few_labels(bench: Bench) -> Work:
    return _export(bench, bench.lines // 10, rare_labels=40)


def export_native(bench: Bench) -> Work:
    return _export(bench, bench.lines // 10, "native")


def export_as_before(bench: Bench) -> Work:
    """The file that the old exporter would write of the same day: pandas's way to Parquet."""
    import pandas as pd

    answer = bench.allocations(bench.lines // 10) / "answer.json"

    def work() -> dict[str, float]:
        rows = old_rows(json.loads(answer.read_bytes())["data"][0], EXPORT_ARN, ("app", "team"))
        target = bench.scratch / "old.parquet"
        pd.DataFrame(rows).astype({"window.start": "datetime64[ns]", "window.end": "datetime64[ns]"}).to_parquet(target)
        return {"cpu_seconds": 0.0, "peak_mb": 0.0, "megabytes": target.stat().st_size / 1e6}

    return work


def _export(bench: Bench, count: int, layout: str = "drop_in", **shape: float) -> Work:
    """From the cluster's answer to the object in the bucket, in a process that does nothing else."""
    answer = bench.allocations(count, **shape)
    # An installation is compiled: a shell that forbids to keep what is compiled would be measured instead of us.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def work() -> dict[str, float]:
        with serve_s3() as s3, serve(answer / "answer.json") as endpoint:
            s3.client().create_bucket(Bucket="bench")
            command = [sys.executable, "-m", "benchmarks.export_day", endpoint, s3.endpoint, layout]
            command.append(str(ALLOCATIONS_DAY))
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        report: dict[str, float] = json.loads(done.stdout)
        return report

    return work


def reconcile_workloads(bench: Bench) -> Work:
    """What the asset `reconciled_allocations` does with a day, its proof of conservation included."""
    return _reconcile_workloads(bench, bench.lines)


def reconcile_workloads_three_times(bench: Bench) -> Work:
    return _reconcile_workloads(bench, 3 * bench.lines)


def reconcile_workloads_a_tenth(bench: Bench) -> Work:
    return _reconcile_workloads(bench, bench.lines // 10)


def _reconcile_workloads(bench: Bench, count: int) -> Work:
    source, target = open_lake(bench.workloads(count), bench.scratch), open_lake(bench.scratch / "lake", bench.scratch)
    settings = Settings(lake="file:///unused", start_date=MONTH)
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def work() -> None:
        with open_engine(MEMORY_LIMIT, bench.scratch) as engine:
            tools = Tools(settings, source, engine, bench.scratch, now)
            days = [ALLOCATIONS_DAY]
            assets = source.read(ASSET_COSTS, [], days, engine)
            nothing = external_rows(source.read(EXTERNAL_COSTS, [], days, engine), days[-1])
            staged, prices = stage_workload_costs(tools, workload_data.CLUSTER, days, assets, nothing)
            allocated = staged.summary.total_cost.sum().to_pyarrow().as_py()
            assert abs(allocated - prices.assets.total_cost.sum().to_pyarrow().as_py()) < 1e-6
            target.publish(staged, [workload_data.CLUSTER], days)

    return work


def copy_workloads(bench: Bench) -> Work:
    """DuckDB's own copy of the same allocations."""
    lake = open_lake(bench.workloads(bench.lines), bench.scratch)
    file, target = lake.path(ALLOCATIONS, [workload_data.CLUSTER], ALLOCATIONS_DAY), bench.scratch / "copy.parquet"

    def work() -> None:
        bench.scratch.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as engine:
            engine.execute(f"COPY (FROM '{file}') TO '{target}' ({_ZSTD})")

    return work


def open_lake(folder: Path, scratch: Path) -> Lake:
    return Lake(locate(f"file://{folder.absolute()}"), scratch)


def copy_bill(export: Path, lake: Path, scratch: Path, windows: Sequence[Window], provider: Provider = "aws") -> None:
    """Do what the asset `cloud_billing` does, for each window in a run of its own."""
    settings = CloudStoreSettings(provider=provider, id=PAYER, export=f"file://{export.absolute()}")
    for window in windows:
        with open_engine(MEMORY_LIMIT, scratch) as engine:
            bill = open_store(settings, LABEL_KEYS, scratch).read_billing(window, engine)
            assert bill.rows is not None
            target = open_lake(lake, scratch)
            staged = target.stage(CLOUD_BILLING, bill.rows, engine, bill.complete, is_held=not bill.is_computed)
            target.publish(staged, settings.key.parts, window.days, inputs=bill.inputs, may_empty=False)


def _thirty_days() -> tuple[date, date]:
    return MONTH, MONTH.replace(day=30)


_GCP_FIELDS = [name for name in gcp_export.FIELDS if name != "cost_at_list"]  # which this bill does not have
_ZSTD = "FORMAT parquet, COMPRESSION zstd"
