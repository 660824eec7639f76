"""Athena: one small query, waited for; its answer as text."""

import time
from typing import Any

from kubecost_pipelines.sinks.errors import ExportError

PAUSES = (0.2, 0.5, 1, 2, 3)
"""Seconds between two looks at a running query; the last one repeats."""
TIMEOUT_SECONDS = 600


def ask(client: Any, query: str, *, database: str, workgroup: str, results: str | None) -> list[str]:
    """Run a query that answers with one row, and return its values.

    Raises:
        ExportError: the query failed or took too long.
    """
    place = {"ResultConfiguration": {"OutputLocation": results}} if results else {}
    query_id = client.start_query_execution(
        QueryString=query, QueryExecutionContext={"Database": database}, WorkGroup=workgroup, **place
    )["QueryExecutionId"]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    pauses = iter(PAUSES)
    while True:
        status = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            break
        if status["State"] in ("FAILED", "CANCELLED"):
            raise ExportError(
                f"Athena: {status.get('StateChangeReason', 'no reason given')}. Look up {query_id} in Athena's "
                "history; `export.glue.workgroup` and `results` say where it runs and where its answer goes."
            )
        if time.monotonic() > deadline:
            client.stop_query_execution(QueryExecutionId=query_id)
            raise ExportError(
                f"Athena: {query_id} took more than {TIMEOUT_SECONDS} s and was stopped. Use another workgroup."
            )
        time.sleep(next(pauses, PAUSES[-1]))
    rows = client.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
    return [value.get("VarCharValue", "") for value in rows[1]["Data"]]
