"""Serving: the tables of the serving store, which the writer fills and cost questions read.

The store is a copy of the lake, made to answer quickly: rows, and sums of them per day and per month for what people
group by. Averages are kept as sums (core-minutes) so that they can be added up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES, label_column

ALLOCATIONS, ASSETS, CLOUD_COSTS, OUT_OF_CLUSTER = "allocations", "assets", "cloud_costs", "out_of_cluster"
CONNECTIONS = "connection_status"
HOURS = "hours"
"""Allocations by the hour: the columns of `allocations`, and `hour`, the UTC time at which each hour starts."""

HOURLY_DAYS = 7
"""Days up to the newest whose hours are kept: they are 24 times the rows. Kubecost itself keeps two days of hours."""

COSTS = tuple(f"{name}_cost" for name in ADJUSTED_RESOURCES)
ADJUSTMENTS = tuple(f"{name}_cost_adjustment" for name in ADJUSTED_RESOURCES)
WEIGHTED = {
    "cpu_request_minutes": "cpu_core_request_average",
    "cpu_usage_minutes": "cpu_core_usage_average",
    "ram_request_minutes": "ram_byte_request_average",
    "ram_usage_minutes": "ram_byte_usage_average",
}
"""Average × minutes of the row, by the average."""

SHARED_IDLE = ("cpu", "gpu", "ram")
"""What idle cost consists of."""

IdleBy = Literal["cluster", "node", "namespace"]
IDLE_BY: tuple[IdleBy, ...] = get_args(IdleBy)
"""How idle cost can be shared: the words of the setting `share_idle`."""


def idle_share(resource: str, by: IdleBy, *, is_reconciled: bool) -> str:
    """Return the column with a row's part of the idle cost of a resource around it.

    On idle rows it is what cannot be shared because nothing ran there: over all rows it adds up to the idle cost.
    """
    return f"{'' if is_reconciled else 'estimated_'}{resource}_idle_by_{by}"


def tenancy_share(*, is_reconciled: bool) -> str:
    """Return the column with a row's part of its cluster's overhead; on `shared` rows, what cannot be shared."""
    return "tenancy_cost" if is_reconciled else "estimated_tenancy_cost"


SHARES = (
    *(
        idle_share(resource, by, is_reconciled=is_reconciled)
        for is_reconciled in (True, False)
        for by in IDLE_BY
        for resource in SHARED_IDLE
    ),
    tenancy_share(is_reconciled=True),
    tenancy_share(is_reconciled=False),
)

AMOUNTS = (
    *COSTS,
    *ADJUSTMENTS,
    "network_cross_zone_cost",
    "network_cross_region_cost",
    "network_internet_cost",
    "shared_cost",
    "external_cost",
    "total_cost",
    "cpu_core_hours",
    "gpu_hours",
    "ram_byte_hours",
    "pv_byte_hours",
    "network_transfer_bytes",
    "network_receive_bytes",
    *WEIGHTED,
)
MEASURES = (*AMOUNTS, *SHARES)
"""What of an allocation can be added up. Shares are linear too, hence idle is shared in any grouping at no cost."""

CLOUD_MEASURES = ("list_cost", "net_cost", "amortized_net_cost", "invoiced_cost", "amortized_cost")


def first_hourly_day(newest: date) -> date:
    """Return the first day whose hours are kept, by the newest one that has hours."""
    return newest - timedelta(days=HOURLY_DAYS - 1)


SPAN = "span"
"""The column of a summary that tells what a row sums: a day, 20261005, or a month, 202610."""


def day_span(day: date) -> int:
    """Return the span of one day."""
    return day.year * 10_000 + day.month * 100 + day.day


def month_span(day: date) -> int:
    """Return the span of the month of a day."""
    return day.year * 100 + day.month


@dataclass(frozen=True)
class Summary:
    """Sums of a table: one row per day, and one per month, for each combination of `dimensions`.

    Attributes:
        name: the table with the sums.
        of: the table of the rows.
        dimensions: what its rows are told apart by.
        made_from: what it is summed from: a finer summary where there is one.
    """

    name: str
    of: str
    dimensions: tuple[str, ...]
    made_from: str = ""

    @property
    def source(self) -> str:
        return self.made_from or self.of


def summaries(label_keys: Sequence[str]) -> list[Summary]:
    """Return the sums that the store keeps, the smallest first."""
    labels = [label_column(key) for key in label_keys]
    bills = ("provider", "invoice_entity_id", "account_id", "service", "category", "is_kubernetes")
    return [
        Summary("clusters", ALLOCATIONS, ("cluster",), "namespaces"),
        Summary("namespaces", ALLOCATIONS, ("cluster", "namespace"), "controllers"),
        Summary("nodes", ALLOCATIONS, ("cluster", "node")),
        *(Summary(f"of_{label}", ALLOCATIONS, ("cluster", "namespace", label)) for label in labels),
        Summary("controllers", ALLOCATIONS, ("cluster", "namespace", "controller_kind", "controller")),
        Summary("services", CLOUD_COSTS, bills),
    ]
