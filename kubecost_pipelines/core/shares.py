"""Shares: what each row takes of idle cost and overhead, worked out once so that any sum of rows can be asked for it.

Shares are linear: those of a namespace are the sum of its rows'. That makes sharing a matter of adding a column when
somebody asks. Who takes what is the rule of `sharing`.
"""

from collections.abc import Sequence

import ibis.expr.types as ir

from kubecost_pipelines.core.serving import IDLE_BY, idle_share, tenancy_share
from kubecost_pipelines.core.sharing import IDLE_WITHIN, Pool, divide, idle_pools, tenancy_pool


def with_shares(rows: ir.Table, parts_of_day: Sequence[str] = ()) -> ir.Table:
    """Return the rows with the columns `core.serving.SHARES`, adjusted and as estimated.

    Args:
        rows: of `reconciled_allocations`, with `date`.
        parts_of_day: columns that tell parts of a day apart, each of which shares its own.
    """
    for within in dict.fromkeys(IDLE_WITHIN[by] for by in IDLE_BY):
        rows = divide(rows, (*within, *parts_of_day), _pools(rows, within))
    return rows


def _pools(rows: ir.Table, within: Sequence[str]) -> dict[str, Pool]:
    pools = {}
    for is_reconciled in (True, False):
        for by in (by for by in IDLE_BY if IDLE_WITHIN[by] == within):
            for resource, pool in idle_pools(rows, by, is_reconciled=is_reconciled).items():
                pools[idle_share(resource, by, is_reconciled=is_reconciled)] = pool
        if within == IDLE_WITHIN["cluster"]:
            pools[tenancy_share(is_reconciled=is_reconciled)] = tenancy_pool(rows, is_reconciled=is_reconciled)
    return pools
