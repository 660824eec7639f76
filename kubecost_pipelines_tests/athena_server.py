"""Moto, whose Athena runs its queries, over what its Glue and its S3 hold: SELECT, UNLOAD, views. `python -m … PORT`.

Sqlglot translates, DuckDB runs. Only partitions that are registered or projected are seen, and only those that a filter
leaves are counted as scanned, whole files. It takes SQL that Trino would refuse: what we
send is asserted besides. In its policies, `?` is one character, as in AWS.
"""

import io
import re
import sys
from collections.abc import Iterator
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
VIEW = re.compile(r"CREATE OR REPLACE VIEW (?P<name>\w+) AS\s+(?P<query>SELECT\b.*)", re.S)
QUERY = re.compile(r"(SELECT|WITH)\b.*", re.S)
REASONS: dict[str, str] = {}
PATH = "$path"
"""A column that every table has and `*` does not show."""
SCANNED: dict[str, int] = {}
VIEWS: dict[tuple[str, str], str] = {}
"""(database, view) -> its query."""


class Engine:
    """DuckDB over what a catalog and a bucket hold, for one statement."""

    def __init__(self, account: str, region: str, database: str) -> None:
        self.account, self.region, self.database = account, region, database
        self.connection = duckdb.connect()
        self.shows_path = False
        self.sizes: dict[str, int] = {}
        """Stored bytes of each partition, by the name of its table here."""
        self.resolved: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def answer(self, query: str) -> Any:
        answer: Any = self.connection.execute(self.translate(query)).to_arrow_table()
        return answer

    def scanned(self, query: str) -> int:
        """Return the bytes of the partitions that are left in the plan: the others were pruned."""
        plan = str(self.connection.execute(f"EXPLAIN {self.translate(query)}").fetchall())
        return sum(self.sizes[part] for part in set(re.findall(r"part_\d+_\d+", plan)))

    def translate(self, query: str) -> str:
        """Return the query for DuckDB, with its tables and views made."""
        self.shows_path = PATH in query
        tree = sqlglot.parse_one(query, read="athena")
        named = {cte.alias for cte in tree.find_all(exp.CTE)}
        for table in list(tree.find_all(exp.Table)):
            if table.db or table.name not in named:
                stand_in = exp.to_table(self._resolve(table.db or self.database, table.name))
                stand_in.set("alias", table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name)))
                table.replace(stand_in)
        return tree.sql(dialect="duckdb")

    def _resolve(self, database: str, name: str) -> str:
        if (database, name) not in self.resolved:
            view = VIEWS.get((database, name))
            made = self.translate(view) if view else self._union(database, name)
            here = self.resolved[database, name] = f"t_{len(self.resolved)}"
            self.connection.execute(f"CREATE VIEW {here} AS {made}")
        return self.resolved[database, name]

    def _union(self, database: str, name: str) -> str:
        table = glue_backends[self.account][self.region].get_table(database, name)
        described = table.as_dict()
        kinds = {key["Name"]: key["Type"] for key in described.get("PartitionKeys", [])}
        keys = list(kinds)
        columns = {column["Name"]: column["Type"] for column in described["StorageDescriptor"]["Columns"]}
        parts: list[str] = []
        for values, rows, size in self._partitions(table, described, keys, columns):
            part = f"part_{len(self.resolved)}_{len(parts)}"
            self.connection.register("rows", rows)
            self.connection.execute(f"CREATE TABLE {part} AS SELECT * FROM rows")
            self.sizes[part] = size
            typed = [
                (key, f"{'DATE ' if kinds[key] == 'date' else ''}'{value}'")
                for key, value in zip(keys, values, strict=True)
            ]
            at = "".join(f', {value} AS "{key}"' for key, value in typed)
            hidden = "" if self.shows_path else f' EXCLUDE ("{PATH}")'
            parts.append(f"SELECT *{hidden}{at} FROM {part}")
        if not parts:
            raise ValueError("this server needs a partition to know the table by")
        return " UNION ALL ".join(parts)

    def _partitions(
        self, table: Any, described: dict[str, Any], keys: list[str], columns: dict[str, str]
    ) -> Iterator[tuple[list[str], pa.Table, int]]:
        location = described["StorageDescriptor"]["Location"].rstrip("/")
        if described.get("Parameters", {}).get("projection.enabled") == "true":
            template = described["Parameters"].get("storage.location.template") or "/".join(
                [location, *(f"{key}=${{{key}}}" for key in keys)]
            )
            pattern = re.sub(r"\\\$\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template.rstrip("/"))) + "/.*"
            found: dict[tuple[str, ...], list[Any]] = {}
            for key, stored in self._objects(location):
                if matched := re.fullmatch(pattern, key):
                    found.setdefault(tuple(matched[name] for name in keys), []).append(stored)
            for values, objects in found.items():
                yield list(values), *_read(objects, columns)
            return
        for partition in table.partitions.values():
            place = partition.as_dict()["StorageDescriptor"]["Location"].rstrip("/")
            if objects := [stored for _, stored in self._objects(place)]:
                yield partition.values, *_read(objects, columns)

    def _objects(self, place: str) -> Iterator[tuple[str, Any]]:
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        for key, stored in s3_backends[self.account]["aws"].buckets[bucket].keys.items():
            if not prefix or key.startswith(f"{prefix}/"):
                yield f"s3://{bucket}/{key}", stored


def _read(objects: list[Any], columns: dict[str, str]) -> tuple[pa.Table, int]:
    """Return the catalog's columns of files: found by name whatever the case, null where a file has none."""
    tables = []
    for stored in objects:
        rows = pq.read_table(io.BytesIO(stored.value))
        names = {name.lower(): name for name in rows.column_names}
        found = [rows.column(names[name]) if name in names else pa.nulls(rows.num_rows) for name in columns]
        path = pa.array([f"s3://{stored.bucket_name}/{stored.name}"] * rows.num_rows, pa.string())
        tables.append(pa.table([*found, path], names=[*columns, PATH]))
    together = pa.concat_tables(tables, promote_options="permissive")
    if unknown := [name for name, type_ in columns.items() if pa.types.is_null(together.schema.field(name).type)]:
        for name in unknown:
            at = together.column_names.index(name)
            type_ = pa.float64() if columns[name] == "double" else pa.string()
            together = together.set_column(at, name, together.column(name).cast(type_))
    return together, sum(len(stored.value) for stored in objects)


def run(backend: Any, execution: Any) -> None:
    """Run an UNLOAD, a CREATE OR REPLACE VIEW or a query; anything else is refused."""
    statement = re.sub(r"^--.*\n", "", execution.query.strip()).rstrip(";")
    database = (execution.context or {}).get("Database", "default")
    with Engine(backend.account_id, backend.region_name, database) as engine:
        if unload := UNLOAD.fullmatch(statement):
            answer = engine.answer(unload["query"])
            if answer.num_rows:
                sink = io.BytesIO()
                pq.write_table(answer, sink)
                bucket = s3_backends[backend.account_id]["aws"]
                bucket.put_object(unload["bucket"], f"{unload['prefix']}{uuid4().hex}", sink.getvalue())
        elif view := VIEW.fullmatch(statement):
            engine.scanned(view["query"])
            VIEWS[database, view["name"]] = view["query"]
        elif QUERY.fullmatch(statement):
            SCANNED[execution.id] = engine.scanned(statement)
            backend.query_results[execution.id] = _as_results(engine.answer(statement))
        else:
            raise ValueError("SYNTAX_ERROR: only UNLOAD, CREATE OR REPLACE VIEW and queries are known here")


def _as_results(answer: Any) -> models.QueryResults:
    """Return an answer as Athena gives it: all text, the names first; null is no value."""
    rows = [answer.column_names, *(list(row.values()) for row in answer.to_pylist())]
    data = [{"Data": [{} if value is None else {"VarCharValue": str(value)} for value in row]} for row in rows]
    return models.QueryResults(data, [{"Name": name, "Type": "varchar"} for name in answer.column_names])


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
        run(self, execution)
    except Exception as error:
        REASONS[execution.id] = f"{type(error).__name__}: {error}"
        execution._transitions = [("QUEUED", "FAILED")]
    return str(execution.id)


def get_query_execution(self: Any) -> str:
    """Tell the reason of a failure and the bytes scanned besides."""
    import json

    answer = json.loads(_get_query_execution(self))
    found = answer["QueryExecution"]
    found.setdefault("Statistics", {})["DataScannedInBytes"] = SCANNED.get(found["QueryExecutionId"], 0)
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
