"""Glue's tables and partitions, in the same run as the export, and what Athena reads through them."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kubecost_pipelines.core.tables import ALLOCATIONS as ALLOCATIONS_TABLE
from kubecost_pipelines.settings import ExportSettings
from kubecost_pipelines.sinks import ExportError, GlueCatalog, open_bucket
from kubecost_pipelines.sinks.athena import ask as count_in_athena
from kubecost_pipelines_tests.dagster_run import Deployment
from kubecost_pipelines_tests.exports.deployment import ALLOCATIONS, EXPORT, FOLDER, cluster, export
from kubecost_pipelines_tests.replay import Replay
from kubecost_pipelines_tests.s3 import S3Server

GLUE = "glue_partitions/prod-eks-1"
Run = Callable[..., Deployment]


@pytest.fixture
def place(athena: S3Server) -> str:
    name = f"costs-{uuid4().hex[:12]}"
    athena.client().create_bucket(Bucket=name)
    return name


def catalogued(athena: S3Server, place: str, **options: Any) -> ExportSettings:
    """An export into a database of its own."""
    glue = {"database": place.replace("-", "_"), "results": f"s3://{place}/answers/", **options.pop("glue", {})}
    return export(athena, place, glue=glue, **options)


def client(athena: S3Server, service: str) -> Any:
    import boto3

    key: dict[str, Any] = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=athena.endpoint, **key)  # type: ignore[call-overload]


def ask(athena: S3Server, query: str) -> list[list[str]]:
    caller = client(athena, "athena")
    query_id = caller.start_query_execution(QueryString=query)["QueryExecutionId"]
    for _ in range(50):
        status = caller.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
        if status["State"] in ("SUCCEEDED", "FAILED"):
            break
        time.sleep(0.05)
    assert status["State"] == "SUCCEEDED", status
    rows = caller.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"][1:]
    return [[value.get("VarCharValue", "") for value in row["Data"]] for row in rows]


def test_a_day_is_queryable_when_its_run_ends(athena: S3Server, place: str, replay: Replay, dagster_run: Run) -> None:
    settings = catalogued(athena, place, layouts=("drop_in", "native"))

    result = dagster_run(clusters=[cluster(replay)], export=settings)(ALLOCATIONS, EXPORT, GLUE)

    assert result.success, result.error
    assert result.checks["athena_agrees"]
    database = place.replace("-", "_")
    total = sum(item["totalCost"] for item in replay.days["2026-10-05"]["allocation"].values())
    [[rows, cost]] = ask(athena, f"SELECT count(*), sum(totalcost) FROM {database}.kubecost_table WHERE month = '10'")
    assert rows == "66"
    assert float(cost) == pytest.approx(total)
    [[native]] = ask(
        athena, f"SELECT sum(reported_total_cost) FROM {database}.allocations WHERE \"date\" = '2026-10-05'"
    )
    assert float(native) == pytest.approx(total)
    [[volumes]] = ask(athena, f"SELECT count(*) FROM {database}.allocations_volumes WHERE cluster = 'prod-eks-1'")
    assert int(volumes) > 0


def test_a_label_that_is_added_leaves_old_partitions_readable(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=catalogued(athena, place))
    assert run(ALLOCATIONS, EXPORT, GLUE).success

    run.settings = run.settings.model_copy(update={"export": catalogued(athena, place, labels=("app",))})
    result = run(ALLOCATIONS, EXPORT, GLUE, days=("2026-10-06", "2026-10-06"))

    assert result.success, result.error
    # Both days are in the partition of their month.
    assert result.materialized[GLUE, "2026-10-06"]["widened"] == 1
    name = {"DatabaseName": place.replace("-", "_"), "TableName": "kubecost_table"}
    values = ["111122223333", "us-east-1", "2026", "10"]
    partition = client(athena, "glue").get_partition(PartitionValues=values, **name)["Partition"]
    columns = [column["Name"] for column in partition["StorageDescriptor"]["Columns"]]
    assert columns[58:] == ["properties.labels.app"]
    assert run(GLUE, days=("2026-10-06", "2026-10-06")).materialized[GLUE, "2026-10-06"]["unchanged"] == 1
    found = ask(
        athena,
        'SELECT CAST("window.start" AS date), count(*), count("properties.labels.app") '
        f"FROM {place.replace('-', '_')}.kubecost_table GROUP BY 1 ORDER BY 1",
    )
    assert [row[0] for row in found] == ["2026-10-05", "2026-10-06"]
    assert [row[1] for row in found] == ["66", "66"]
    assert (found[0][2], int(found[1][2]) > 0) == ("0", True)


def test_a_table_of_somebody_else_keeps_its_own_columns(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    glue, database = client(athena, "glue"), place.replace("-", "_")
    glue.create_database(DatabaseInput={"Name": database})
    table = {
        "Name": "kubecost_table",
        "Parameters": {"made-by": "terraform"},
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in ("account_id", "region", "year", "month")],
        "StorageDescriptor": {"Columns": [{"Name": "name", "Type": "varchar(300)"}, {"Name": "mine", "Type": "int"}]},
    }
    glue.create_table(DatabaseName=database, TableInput=table)

    result = dagster_run(clusters=[cluster(replay)], export=catalogued(athena, place, glue={"verify": False}))(
        ALLOCATIONS, EXPORT, GLUE
    )

    assert result.success, result.error
    found = glue.get_table(DatabaseName=database, Name="kubecost_table")["Table"]
    assert found["Parameters"]["made-by"] == "terraform"
    columns = found["StorageDescriptor"]["Columns"]
    assert columns[:2] == [{"Name": "name", "Type": "varchar(300)"}, {"Name": "mine", "Type": "int"}]
    assert columns[2] == {"Name": "window.start", "Type": "timestamp"}
    assert len(columns) == 59


def test_a_partition_is_made_once_and_moved_when_its_place_is_another(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=catalogued(athena, place))
    assert run(ALLOCATIONS, EXPORT, GLUE).success
    glue, database = client(athena, "glue"), place.replace("-", "_")
    values = ["111122223333", "us-east-1", "2026", "10"]
    name = {"DatabaseName": database, "TableName": "kubecost_table"}
    known = glue.get_partition(PartitionValues=values, **name)["Partition"]
    assert known["StorageDescriptor"]["Location"] == f"s3://{place}/{FOLDER}/"

    assert run(GLUE).materialized[GLUE, "2026-10-05"]["unchanged"] == 1
    known["StorageDescriptor"]["Location"] = f"s3://{place}/elsewhere/"
    wanted = {"Values": values, "StorageDescriptor": known["StorageDescriptor"]}
    glue.update_partition(PartitionValueList=values, PartitionInput=wanted, **name)
    result = run(GLUE)

    assert result.success, result.error
    assert result.materialized[GLUE, "2026-10-05"]["moved"] == 1
    moved = glue.get_partition(PartitionValues=values, **name)["Partition"]
    assert moved["StorageDescriptor"]["Location"] == f"s3://{place}/{FOLDER}/"


def test_many_days_are_registered_a_hundred_at_a_time(athena: S3Server, place: str, replay: Replay) -> None:
    settings = catalogued(athena, place, layouts=("native",))
    assert settings.glue
    catalog = GlueCatalog(settings, settings.glue, ALLOCATIONS_TABLE, open_bucket(settings), [cluster(replay)])
    sent = []

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.append((params["TableName"], len(params["PartitionInputList"])))

    catalog._catalog.meta.events.register("provide-client-params.glue.BatchCreatePartition", note)
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(250)]

    registered = catalog.register(cluster(replay), days)

    assert [size for table, size in sent if table == "allocations"] == [100, 100, 50]
    assert len([one for one in registered if one.state == "registered"]) == 750


def test_projected_partitions_need_no_registration(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    settings = catalogued(athena, place, layouts=("native", "drop_in"), glue={"projection": True})

    result = dagster_run(clusters=[cluster(replay)], export=settings)(ALLOCATIONS, EXPORT, GLUE)

    assert result.success, result.error
    assert result.checks["athena_agrees"]
    glue, database = client(athena, "glue"), place.replace("-", "_")
    assert glue.get_partitions(DatabaseName=database, TableName="allocations")["Partitions"] == []
    parameters = glue.get_table(DatabaseName=database, Name="allocations")["Table"]["Parameters"]
    assert parameters["projection.cluster.values"] == "prod-eks-1"
    place_of = parameters["storage.location.template"]
    assert place_of == f"s3://{place}/cluster=${{cluster}}/date=${{date}}/allocations/"


def test_a_question_about_a_cluster_and_a_day_reads_one_object(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    settings = catalogued(athena, place, layouts=("native",), glue={"verify": False})
    for name in ("prod-eks-1", "prod-eks-2"):
        run = dagster_run(clusters=[cluster(replay, name=name)], export=settings)
        assets = [f"{table}/{name}" for table in ("allocations", "allocation_export", "glue_partitions")]
        result = run(*assets, days=("2026-10-05", "2026-10-06"))
        assert result.success, result.error
    key = "cluster=prod-eks-2/date=2026-10-06/allocations/allocations.parquet"
    size = athena.client().head_object(Bucket=place, Key=key)["ContentLength"]

    query = f"SELECT sum(reported_total_cost) FROM {place.replace('-', '_')}.allocations WHERE "
    [[cost]] = ask(athena, f"{query} cluster = 'prod-eks-2' AND \"date\" = '2026-10-06'")
    caller = client(athena, "athena")
    executions = [
        caller.get_query_execution(QueryExecutionId=one)["QueryExecution"]
        for one in caller.list_query_executions()["QueryExecutionIds"]
    ]
    [scanned] = [one["Statistics"]["DataScannedInBytes"] for one in executions if place[6:] in one["Query"]]

    items = replay.days["2026-10-06"]["allocation"].values()
    assert float(cost) == pytest.approx(sum(item["totalCost"] for item in items))
    assert scanned == size


def test_a_query_that_athena_fails_is_told_with_its_reason(athena: S3Server) -> None:
    with pytest.raises(ExportError, match=r"Athena: .*Database d not found.*history"):
        count_in_athena(
            client(athena, "athena"), "SELECT count(*) FROM gone", database="d", workgroup="primary", results=None
        )


def test_the_check_counts_volumes_and_load_balancers_too(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=catalogued(athena, place, layouts=("native",)))
    assert run(ALLOCATIONS, EXPORT, GLUE).checks["athena_agrees"]
    s3, key = athena.client(), "cluster=prod-eks-1/date=2026-10-05/volumes/volumes.parquet"
    head = s3.head_object(Bucket=place, Key=key)["Metadata"]
    body = s3.get_object(Bucket=place, Key=key)["Body"].read()
    s3.put_object(Bucket=place, Key=key, Body=body, Metadata=head | {"total-cost": "0.5"})

    result = run(GLUE)

    assert result.checks == {"athena_agrees": False}
    assert result.check_metadata["athena_agrees"]["offenders"] == 1


def test_the_check_fails_when_athena_sees_something_else(
    athena: S3Server, place: str, replay: Replay, dagster_run: Run
) -> None:
    run = dagster_run(clusters=[cluster(replay)], export=catalogued(athena, place))
    assert run(ALLOCATIONS, EXPORT, GLUE).success
    glue, database = client(athena, "glue"), place.replace("-", "_")
    table = glue.get_table(DatabaseName=database, Name="kubecost_table")["Table"]
    for column in table["StorageDescriptor"]["Columns"]:
        column["Name"] = {"totalcost": "sharedcost_", "cpucost": "totalcost"}.get(column["Name"], column["Name"])
    wanted = {name: table[name] for name in ("Name", "StorageDescriptor", "PartitionKeys", "Parameters")}
    s3 = athena.client()
    key = f"{FOLDER}/2026-10-05_prod-eks-1.snappy.parquet"
    head = s3.head_object(Bucket=place, Key=key)["Metadata"]
    body = s3.get_object(Bucket=place, Key=key)["Body"].read()
    s3.put_object(Bucket=place, Key=key, Body=body, Metadata=head | {"rows": "67"})
    glue.update_table(DatabaseName=database, TableInput=wanted)

    result = run(GLUE)

    assert result.checks == {"athena_agrees": False}
