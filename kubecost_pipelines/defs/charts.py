"""Charts: one small picture where it says more than the figures, as a PNG inside Markdown metadata."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

INK, GAIN, LOSS, FILL = "#3b4252", "#4c9f70", "#c8553d", "#5b7db1"


def waterfall(title: str, start: float, steps: Mapping[str, float], end_label: str) -> dg.MarkdownMetadataValue:
    """Draw how `start` becomes its end, one bar per step (in the currency of the costs)."""
    labels = ["estimated", *steps, end_label]
    values, bottoms, colours, level = [start], [0.0], [FILL], start
    for step in steps.values():
        values.append(step)
        bottoms.append(level)
        colours.append(GAIN if step < 0 else LOSS)  # cheaper than estimated is good news
        level += step
    return _draw(title, labels, [*values, level], [*bottoms, 0.0], [*colours, FILL], "{:,.2f}")


def bars(title: str, values: Mapping[str, float], style: str = "{:,.2f}") -> dg.MarkdownMetadataValue:
    """Draw one bar per name, in the order given."""
    return _draw(title, list(values), list(values.values()), [0.0] * len(values), [FILL] * len(values), style)


def _draw(
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    lefts: Sequence[float],
    colours: Sequence[str],
    style: str,
) -> dg.MarkdownMetadataValue:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 0.7 + 0.28 * len(labels)), dpi=80, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.barh(range(len(labels)), values, left=lefts, color=colours, height=0.62)
    ends = [left + max(value, 0) for left, value in zip(lefts, values, strict=True)]
    for row, (end, value) in enumerate(zip(ends, values, strict=True)):
        axes.annotate(
            style.format(value),
            (end, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    axes.set_yticks(range(len(labels)), labels, fontsize=8, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(axis="x", labelsize=7, colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", pil_kwargs={"optimize": True})
    encoded = base64.b64encode(picture.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
