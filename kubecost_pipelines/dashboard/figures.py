"""Figures: what views ask of the lake itself. It takes seconds to import, hence routes do when they are first asked."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from kubecost_pipelines.api.parameters import read_window
from kubecost_pipelines.dashboard.queries import cost_column
from kubecost_pipelines.operations import questions
from kubecost_pipelines.operations.connections import read_connections
from kubecost_pipelines.operations.lake_answers import QuestionBench, answer
from kubecost_pipelines.operations.reasons import Reasons, reasons_of_asset, reasons_of_workload
from kubecost_pipelines.settings import Settings


class Figures:
    """The figures of one deployment.

    Each raises QueryTooLongError where finding it takes more than `query_seconds`.
    """

    def __init__(self, settings: Settings, query_seconds: float) -> None:
        self._settings, self._workbench = settings, QuestionBench(settings, query_seconds=query_seconds)

    def spend(self, window: str, by: str) -> dict[str, Any]:
        """Return what is spent per day, and whether the day is settled; raises QuestionError for the window."""
        with self._workbench.open() as tools:
            asked = read_window(window, tools.now)
            rows = answer(tools, questions.spend(by, asked, cost_column(self._settings)), asked.days)
            settled = set(tools.settled(asked.days))
        return {"rows": [{**row, "is_settled": row["date"] in settled} for row in rows]}

    def conservation(self, window: str) -> dict[str, Any]:
        """Return per bill where its cost went; raises QuestionError for the window."""
        with self._workbench.open() as tools:
            asked = read_window(window, tools.now)
            rows = answer(tools, questions.conservation(asked, cost_column(self._settings)), asked.days)
        names = {str(store.key): store.name or store.key.id for store in self._settings.cloud_stores}
        return {"rows": [_conserved(row, names.get(row["bill_of"], row["bill_of"])) for row in rows]}

    def explanation(
        self, cluster: str, day: date, *, namespace: str = "", pod: str = "", asset: str = "", asset_type: str = ""
    ) -> Reasons:
        """Return why an asset, or else a workload, cost what it did on a day."""
        if asset_type:
            return reasons_of_asset(self._workbench, cluster, day, asset, asset_type)
        return reasons_of_workload(self._workbench, cluster, day, namespace, pod)

    def connections(self) -> dict[str, Any]:
        """Return every bill and cluster: whether it can be read, and which days are there."""
        with self._workbench.open() as tools:
            found = [asdict(one) for one in read_connections(tools)]
        for one in found:
            one["days"] = [{"date": day, "state": state} for day, state in one["days"]]
        return {"connections": found}


def _conserved(row: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return a bill's sums as text: JSON's numbers would not keep all decimals."""
    costs = {name: f"{row[name].normalize():f}" for name in ("bill", "in_clusters", "out_of_clusters", "difference")}
    return {"key": row["bill_of"], "title": title, "days": row["days"], **costs}
