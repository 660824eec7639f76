"""Bill formats: which mapping reads a bill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import ibis.expr.types as ir

from kubecost_pipelines.core.bills import aws_lines, focus, gcp_export
from kubecost_pipelines.core.provider_key import Provider
from kubecost_pipelines.core.window import Window


@dataclass(frozen=True)
class BillFormat:
    """A format: its name, how its rows become those of `cloud_billing`, and what completes them."""

    name: str
    normalise: Callable[[ir.Table, Window, Sequence[str]], ir.Table]
    complete: Callable[[ir.Table], ir.Table] | None = None


NATIVE: dict[Provider, BillFormat] = {
    "aws": BillFormat("Cost and Usage Report", aws_lines.normalise, aws_lines.residual),
    "gcp": BillFormat("detailed billing export", gcp_export.normalise),
}
"""Azure's own is not among them: it is taken apart first (`azure_costs`)."""


def format_of(provider: Provider, columns: Sequence[str]) -> BillFormat:
    """Return the format of a bill with these columns: FOCUS, which every provider exports, or the provider's own."""
    if focus.is_focus(columns):
        return BillFormat("FOCUS", partial(focus.normalise, provider=provider))
    return NATIVE[provider]
