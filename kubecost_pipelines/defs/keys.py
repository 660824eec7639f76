"""Keys: what an asset is called, told without loading what makes it."""

import dagster as dg

from kubecost_pipelines.core.tables import Table


def asset_key(table: Table, *parts: str) -> dg.AssetKey:
    """Return the key of the asset that holds `table` for the given key parts."""
    return dg.AssetKey([table.name, *parts])
