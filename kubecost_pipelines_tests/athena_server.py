"""Moto, whose Athena runs its queries: UNLOAD over what its Glue and its S3 hold. `python -m … PORT`.

Sqlglot translates, DuckDB runs. Only registered partitions are seen. It takes SQL that Trino would refuse: what we
send is asserted besides. In its policies, `?` is one character, as in AWS.
"""

import io
import re
import sys
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from moto.athena import models, responses
from moto.glue.models import glue_backends
from moto.iam.access_control import IAMPolicyStatement
from moto.s3.models import s3_backends
from sqlglot import exp

UNLOAD = re.compile(
    r"UNLOAD \((?P<query>.*)\) TO 's3://(?P<bucket>[^/]+)/(?P<prefix>[^']*)' WITH \(format = 'PARQUET'\)", re.S
)
REASONS: dict[str, str] = {}


def run(account: str, region: str, statement: str) -> None:
    """Run an UNLOAD; anything else is refused."""
    found = UNLOAD.fullmatch(statement)
    if not found:
        raise ValueError("SYNTAX_ERROR: only UNLOAD is known here")
    tree = sqlglot.parse_one(found["query"], read="athena")
    with duckdb.connect() as engine:
        for number, table in enumerate(list(tree.find_all(exp.Table))):
            engine.register(f"t_{number}", _load(account, region, table.db, table.name))
            stand_in = exp.to_table(f"t_{number}")
            stand_in.set("alias", table.args.get("alias"))
            table.replace(stand_in)
        answer: Any = engine.execute(tree.sql(dialect="duckdb")).to_arrow_table()
    if answer.num_rows:
        sink = io.BytesIO()
        pq.write_table(answer, sink)
        s3_backends[account]["aws"].put_object(found["bucket"], f"{found['prefix']}{uuid4().hex}", sink.getvalue())


def _load(account: str, region: str, database: str, name: str) -> pa.Table:
    table = glue_backends[account][region].get_table(database, name)
    described = table.as_dict()
    keys = [key["Name"] for key in described.get("PartitionKeys", [])]
    columns = [column["Name"] for column in described["StorageDescriptor"]["Columns"]]
    found = []
    for partition in table.partitions.values():
        location = partition.as_dict()["StorageDescriptor"]["Location"].removeprefix("s3://")
        bucket, _, prefix = location.partition("/")
        for key, stored in s3_backends[account]["aws"].buckets[bucket].keys.items():
            if key.startswith(prefix):
                rows = pq.read_table(io.BytesIO(stored.value)).select(columns)
                for at, value in zip(keys, partition.values, strict=True):
                    rows = rows.append_column(at, pa.array([value] * rows.num_rows, pa.string()))
                found.append(rows)
    if found:
        return pa.concat_tables(found)
    raise ValueError("this server needs a partition to know the table by")


def start_query_execution(
    self: Any, query: str, context: Any, config: Any, workgroup: Any, execution_parameters: Any
) -> str:
    """Take moto's place."""
    execution = models.Execution(
        query=query, context=context, config=config, workgroup=self.work_groups.get(workgroup),
        execution_parameters=execution_parameters,
    )  # fmt: skip
    self.executions[execution.id] = execution
    try:
        run(self.account_id, self.region_name, query)
    except Exception as error:
        REASONS[execution.id] = f"{type(error).__name__}: {error}"
        execution._transitions = [("QUEUED", "FAILED")]
    return str(execution.id)


def get_query_execution(self: Any) -> str:
    """Tell the reason of a failure besides."""
    import json

    answer = json.loads(_get_query_execution(self))
    if reason := REASONS.get(answer["QueryExecution"]["QueryExecutionId"]):
        answer["QueryExecution"]["Status"]["StateChangeReason"] = reason
    return json.dumps(answer)


def match(pattern: str, value: str) -> re.Match[str] | None:
    """Match a name with a policy's: `*` is any text, `?` one character.

    But for S3, moto does not know which resource is asked for, and says `*`: then the action alone decides.
    """
    return re.fullmatch(".*" if value == "*" else re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value)


_get_query_execution = responses.AthenaResponse.get_query_execution

if __name__ == "__main__":
    from moto.server import main

    setattr(models.AthenaBackend, "start_query_execution", start_query_execution)  # noqa: B010
    setattr(responses.AthenaResponse, "get_query_execution", get_query_execution)  # noqa: B010
    setattr(IAMPolicyStatement, "_match", staticmethod(match))  # noqa: B010
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
