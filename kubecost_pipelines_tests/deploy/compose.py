"""`deploy/compose.yaml` as an engine would read it: merged, and its variables filled in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "deploy/compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with its variables: `${NAME}`, `${NAME:-default}`, `${NAME:?complaint}`.

    Raises:
        ValueError: a variable that must be given is not; the message is the file's own.
    """

    def fill(found: re.Match[str]) -> str:
        name, operator, text = found.groups()
        if name in variables:
            return variables[name]
        if operator == "?":
            raise ValueError(f"{name}: {text}")
        return text or ""

    content: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(fill, FILE.read_text(encoding="utf-8")))
    return content
