"""The GraphQL of a running Dagster webserver: the graph, backfills and their progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kubecost_pipelines.core.tables import TABLES
from kubecost_pipelines.operations.errors import NoDagsterError, OperationError
from kubecost_pipelines.operations.pipelines import TAG, Graph, Node, Plan

TIMEOUT_SECONDS = 60
_ENDED = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
_ERRORS = "... on PythonError { message } ... on UnauthorizedError { message }"

_GRAPH = "{ assetNodes { assetKey { path } tags { key value } isPartitioned } }"
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name
  locationOrLoadError { ... on PythonError { message } } } } } }"""
_DAYS = """query ($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeysByDimension { partitionKeys } } } }"""
_BACKFILL = """id status tags { key value } assetSelection { path } error { message }
  assetBackfillData { assetBackfillStatuses {
    ... on AssetPartitionsStatusCounts {
      assetKey { path } numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed } } }"""
_ACTIVE = """query { partitionBackfillsOrError(filters: {statuses: [REQUESTED, CANCELING, FAILING]}) {
  ... on PartitionBackfills { results { id status tags { key value } assetSelection { path } } }
  ... on PythonError { message } } }"""
_ONE = (
    f"query ($id: String!) {{ partitionBackfillOrError(backfillId: $id) {{ ... on PartitionBackfill {{ {_BACKFILL} }}"
    " ... on BackfillNotFoundError { message } ... on PythonError { message } } }"
)
_LAUNCH = f"""mutation ($params: LaunchBackfillParams!) {{ launchPartitionBackfill(backfillParams: $params) {{
  ... on LaunchBackfillSuccess {{ backfillId }} {_ERRORS}
  ... on PartitionKeysNotFoundError {{ message }} }} }}"""
_CANCEL = f"""mutation ($id: String!) {{ cancelPartitionBackfill(backfillId: $id) {{
  ... on CancelBackfillSuccess {{ backfillId }} {_ERRORS} }} }}"""


@dataclass(frozen=True)
class Backfill:
    """A backfill that Dagster knows, and how far it is."""

    id: str
    status: str
    tags: Mapping[str, str]
    keys: frozenset[tuple[str, ...]]
    targeted: int = 0
    """Days times assets."""
    written: int = 0
    failed: Mapping[str, int] | None = None
    """Asset -> days that failed."""
    error: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def process(self) -> str | None:
        return self.tags.get(f"{TAG}/process")


class Webserver:
    """Asks one Dagster webserver. Making one asks nobody anything."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        """Its address, without the password that it may carry."""

    def link(self, backfill_id: str) -> str:
        return f"{self.url}/runs/b/{backfill_id}"

    def graph(self) -> Graph:
        """Return our daily assets and their days."""
        ours = {table.name for table in TABLES}
        nodes = [
            Node(tuple(found["assetKey"]["path"]), {tag["key"]: tag["value"] for tag in found["tags"]})
            for found in self._ask(_GRAPH)["assetNodes"]
            if found["isPartitioned"] and found["assetKey"]["path"][0] in ours
        ]
        if not nodes:
            raise NoDagsterError(
                f"{self.url} has none of our assets loaded. Open its Deployment page: the code location "
                "kubecost_pipelines must be there, with your settings and without an error." + self._load_errors()
            )
        [dimension] = self._ask(_DAYS, key={"path": nodes[0].key})["assetNodeOrError"]["partitionKeysByDimension"]
        return Graph(nodes, [date.fromisoformat(key) for key in dimension["partitionKeys"]])

    def _load_errors(self) -> str:
        """Return why code locations did not load, a line each, in Dagster's words."""
        entries = self._ask(_LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        return "".join(
            f"\n  {entry['name']} did not load: {error['message'].strip()}"
            for entry in entries
            if (error := entry["locationOrLoadError"]) and "message" in error
        )

    def launch(self, plan: Plan) -> str:
        """Start a backfill of the plan and return its id."""
        days = {"ranges": [{"start": str(plan.days[0]), "end": str(plan.days[-1])}]}
        found = self._ask(
            _LAUNCH,
            params={
                "partitionsByAssets": [{"assetKey": {"path": key}, "partitions": days} for key in plan.keys],
                "tags": [{"key": name, "value": value} for name, value in plan.tags.items()],
                "title": plan.title,
            },
        )
        return str(self._good(found["launchPartitionBackfill"], "backfillId"))

    def active(self) -> list[Backfill]:
        """Return the backfills that have not ended."""
        return [_read(one) for one in self._good(self._ask(_ACTIVE)["partitionBackfillsOrError"], "results")]

    def cancel(self, backfill_id: str) -> None:
        """Ask Dagster to end a backfill and its runs; it does so within some ten seconds."""
        self._good(self._ask(_CANCEL, id=backfill_id)["cancelPartitionBackfill"], "backfillId")

    def backfill(self, backfill_id: str) -> Backfill:
        """Return how far a backfill is."""
        found = self._ask(_ONE, id=backfill_id)["partitionBackfillOrError"]
        self._good(found, "id")
        return _read(found)

    def _good(self, answer: dict[str, Any], field: str) -> Any:
        if field not in answer:
            raise OperationError(f"{self.url}: Dagster refused: {answer.get('message', answer)}")
        return answer[field]

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        import requests  # noqa: PLC0415 - only here

        try:
            answer = requests.post(
                f"{self._url}/graphql", json={"query": query, "variables": variables}, timeout=TIMEOUT_SECONDS
            )
            content = answer.json()
        except requests.exceptions.JSONDecodeError:
            raise NoDagsterError(
                f"{self.url} answers ({answer.status_code}), but is no Dagster webserver. Let --dagster-url name one."
            ) from None
        except requests.RequestException as error:
            raise NoDagsterError(
                f"no Dagster answers at {self.url} ({type(error).__name__}). Start one with `make dev` or `dagster dev "
                "-m kubecost_pipelines.definitions`, name another with --dagster-url, or run in process with --local."
            ) from None
        if errors := content.get("errors"):
            raise OperationError(f"{self.url}: Dagster refused: {errors[0].get('message', errors[0])}")
        data: dict[str, Any] = content["data"]
        return data


def _read(found: Mapping[str, Any]) -> Backfill:
    per_asset: Sequence[Mapping[str, Any]] = (found.get("assetBackfillData") or {}).get("assetBackfillStatuses") or []
    per_asset = [one for one in per_asset if one]
    return Backfill(
        found["id"],
        found["status"],
        {tag["key"]: tag["value"] for tag in found["tags"]},
        frozenset(tuple(key["path"]) for key in found["assetSelection"] or []),
        sum(one["numPartitionsTargeted"] for one in per_asset),
        sum(one["numPartitionsMaterialized"] for one in per_asset),
        {"/".join(one["assetKey"]["path"]): n for one in per_asset if (n := one["numPartitionsFailed"])},
        (found.get("error") or {}).get("message", ""),
    )
