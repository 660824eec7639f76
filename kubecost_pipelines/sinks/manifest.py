"""Manifest: what an exported file says of itself, in the object's metadata and in the file's own footer.

It is what makes "the file is there" mean "the day is complete", and what tells that the cluster's figures have moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

RELATIVE_TOLERANCE = 1e-4
ROUNDING_PER_ROW = 1e-5
"""Clusters round each cost to five decimals, and their totals separately."""


@dataclass(frozen=True)
class Manifest:
    """What one day's file holds.

    Args:
        rows: how many.
        total_cost: Σ of the total cost column.
        cluster_total: the cluster's own total of that day when its rows were collected.
        source: `reconciled` or `estimates`.
        fingerprint: tells one state of the source from another.
        version: of the code.
    """

    rows: int
    total_cost: float
    cluster_total: float
    source: str
    fingerprint: str
    version: str

    def as_metadata(self) -> dict[str, str]:
        """Return it in the words of an object's metadata."""
        return {name.replace("_", "-"): str(value) for name, value in vars(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Manifest | None":
        """Read it back; None where the file is somebody else's, such as the exporter's that we replace."""
        try:
            return cls(
                int(metadata["rows"]),
                float(metadata["total-cost"]),
                float(metadata["cluster-total"]),
                metadata["source"],
                metadata["fingerprint"],
                metadata["version"],
            )
        except (KeyError, ValueError):
            return None

    def agrees_with(self, cluster_total: float) -> bool:
        """Say whether the cluster still says what it said."""
        return agree(self.cluster_total, cluster_total, self.rows)


def agree(said: float, says: float, rows: int) -> bool:
    """Say whether two totals of one day are the same but for rounding; NaN, which nobody knows, agrees with all."""
    difference = abs(said - says)
    return isnan(difference) or difference <= RELATIVE_TOLERANCE * abs(says) + ROUNDING_PER_ROW * rows
