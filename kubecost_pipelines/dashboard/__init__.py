"""The dashboard: the pages at `/` (sources in `ui/`, built into `static/` by `make dashboard`) and what only they ask.

Costs come from the API as any client gets them; `routes` adds what is about the deployment rather than about cost.
"""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
SOURCES = Path(__file__).parent / "ui"
