"""Every route of the OpenAPI document, asked what nobody thought of: no fault of ours, no answer of another shape."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kubecost_pipelines.core.tables import ASSET_COSTS
from kubecost_pipelines_tests.api.served import Server, serve, write_allocations, write_bill, write_days
from kubecost_pipelines_tests.api.test_round_trip import _asset

CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake: Path = tmp_path_factory.mktemp("openapi") / "lake"
    lake.mkdir()
    write_allocations(lake, "one", [{"namespace": "web", "pod": "w", "container": "c", "cpu_cost": 3.0}])
    write_bill(lake, ["aws", "111122223333"], [{"service_name": "AmazonRDS", "cost": "2.5", "resource_id": "db"}])
    write_days(lake, ASSET_COSTS, [], [_asset("Node", "n1", cost=3.0, cpu_cost=3.0)])
    with serve(lake, dagster_url="http://127.0.0.1:9") as running:
        yield running


def documented(server: Server) -> dict[str, Any]:
    return dict(server.get("/openapi.json").json())


def test_every_route_has_an_example_of_its_answer_and_it_is_of_its_shape(server: Server) -> None:
    for path, methods in documented(server)["paths"].items():
        for operation in methods.values():
            [content, *_] = operation["responses"]["200"]["content"].values()
            examples = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
            for example in examples:
                jsonschema_rs.validate(content["schema"], example)
            # Workloads can be asked for by the day and by the hour.
            is_of_workloads = "/allocation" in path and "topline" not in path and "etl" not in path
            assert len(examples) == (2 if is_of_workloads else 1), path


def test_no_question_is_a_fault_or_answered_in_another_shape(server: Server) -> None:
    for found in schemathesis.openapi.from_dict(documented(server)).get_all_operations():
        operation = found.ok()  # type: ignore[union-attr] # an invalid document fails here, as it should

        def ask(case: Any) -> None:
            if "window" in (case.query or {}) and len(str(case.query["window"])) % 2:
                # Half of the questions get past the window.
                case.query["window"] = "2026-10-05T00:00:00Z,2026-10-07T00:00:00Z"
            answer = case.call(base_url=server.url)
            case.validate_response(answer, checks=CHECKS)
            # There is no Dagster here: what it is needed for says so.
            assert answer.status_code < 500 or "no Dagster" in answer.json()["message"]

        limits = settings(max_examples=12, deadline=None, database=None, derandomize=True)
        limits(given(case=operation.as_strategy())(ask))()
