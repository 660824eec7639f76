"""Bills of Google Cloud and Azure to measure with: the third-party month of the tests, many times over.

Each copy has resources of its own, as a larger company would. Google's lines are hourly and come as Parquet with
structs, as BigQuery writes them; Azure's are daily and come as one CSV.

nise makes up another name every hour for a DNS zone, a database and what is taxed. In a bill they keep their names, and
so they do here, unless asked for as nise has them: six times as many daily rows.
"""

from pathlib import Path

import duckdb

DATA = Path("kubecost_pipelines_tests/data/nise-2026-10")
LABELS = '[{"key": "VARCHAR", "value": "VARCHAR"}]'
CREDITS = '[{"name": "VARCHAR", "amount": "DOUBLE", "id": "VARCHAR", "type": "VARCHAR"}]'


def write_gcp_export(folder: Path, lines: int, *, is_as_made: bool = False) -> None:
    """Write about so many lines into `folder`, with resources that keep their names unless `is_as_made`."""
    lasts = 'CASE WHEN names > 31 THEN "first_{0}" ELSE "{0}" END'
    name, global_name = (
        f'"{column}"' if is_as_made else lasts.format(column) for column in ("resource.name", "resource.global_name")
    )
    skus = """
    SELECT "service.description", "sku.description", count(DISTINCT "resource.name") AS names,
        min("resource.name") AS "first_resource.name", min("resource.global_name") AS "first_resource.global_name"
    FROM month GROUP BY ALL
    """
    query = f"""
    SELECT billing_account_id, currency, CAST(cost AS DOUBLE) AS cost, CAST(usage_start_time AS TIMESTAMPTZ)
            AS usage_start_time, cost_type, struct_pack(month := "invoice.month") AS invoice,
        struct_pack(id := "project.id", labels := from_json("project.labels", '{LABELS}')) AS project,
        struct_pack(description := "service.description") AS service,
        struct_pack(description := "sku.description") AS sku,
        struct_pack(region := "location.region", zone := "location.zone") AS location,
        struct_pack(name := {name} || '-' || copy, global_name := {global_name} || copy) AS resource,
        struct_pack(amount_in_pricing_units := CAST("usage.amount_in_pricing_units" AS DOUBLE)) AS usage,
        from_json(labels, '{LABELS}') AS labels, from_json(credits, '{CREDITS}') AS credits, export_time, system_labels
    FROM month JOIN ({skus}) AS skus USING ("service.description", "sku.description"), copies
    """
    _copy(folder / "export.parquet", DATA / "gcp/csv/*.csv.gz", query, "FORMAT parquet, COMPRESSION snappy", lines)


def write_azure_export(folder: Path, lines: int) -> None:
    """Write about so many lines into the month's folder of `folder`."""
    query = "SELECT * REPLACE (ResourceId || copy AS ResourceId) FROM month, copies"
    file = folder / "20261001-20261031/export.csv"
    _copy(file, DATA / "azure/subscription/*/*/*.csv.gz", query, "FORMAT csv, HEADER", lines)


def _copy(file: Path, source: Path, query: str, options: str, lines: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as engine:
        read = f"read_csv('{source}', all_varchar = true, quote = '\"', escape = '\"')"
        engine.execute(f"CREATE TEMP TABLE month AS FROM {read}")
        [rows] = engine.execute("SELECT count(*) FROM month").fetchall()[0]
        engine.execute(f"CREATE TEMP TABLE copies AS SELECT unnest(range({max(1, lines // rows)})) AS copy")
        engine.execute(f"COPY ({query}) TO '{file}' ({options})")
