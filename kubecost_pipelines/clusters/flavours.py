"""Flavours: the two APIs, by path and parameters.

Idle cost is asked for by node, as rows of its own. Only so do the allocations of a cluster add up to its assets.
Parameters: https://docs.kubecost.com/apis/monitoring-apis/api-allocation and
https://opencost.io/docs/integrations/api
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Flavour:
    """One API: where it answers and what to ask. A server ignores the parameters that it does not know."""

    name: str
    allocation_path: str
    assets_path: str
    allocation_params: Mapping[str, str] = field(repr=False)
    assets_params: Mapping[str, str] = field(repr=False)


_BY_DAY = {"step": "1d", "accumulate": "false", "idleByNode": "true", "includeIdle": "true"}

KUBECOST = Flavour(
    "kubecost",
    "/model/allocation",
    "/model/assets",
    # `includeIdle` is for the UI of OpenCost, which serves OpenCost's API under Kubecost's paths.
    {**_BY_DAY, "idle": "true", "splitIdle": "true", "shareIdle": "false"},
    {"accumulate": "false"},
)
OPENCOST = Flavour("opencost", "/allocation/compute", "/assets", _BY_DAY, {})

FLAVOURS = {flavour.name: flavour for flavour in (KUBECOST, OPENCOST)}
"""In the order in which the probe asks for them."""
