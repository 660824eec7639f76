"""What is generated: pages of `docs/`, the columns of Terraform's tables. With `--check`, fail where it is stale."""

import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr

from kubecost_pipelines.cli import cli
from kubecost_pipelines.cli.mappings import mappings_page
from kubecost_pipelines.core.exports.drop_in import drop_in_columns
from kubecost_pipelines.core.exports.native import glue_columns, native_tables
from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS, TABLES, Table
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings, Settings
from kubecost_pipelines.settings.allocation import AllocationSettings, LabelMappingSettings

NOTICE = "<!-- Written by `make docs` from the code; change it there. -->\n"


def tables_page() -> str:
    """Return `docs/tables.md`, from the tables of `core`."""
    intro = (
        "# Tables\n\n"
        "One object per table, key and day: `<lake>/<table>/<key…>/date=YYYY-MM-DD/data.parquet`, zstd. `date` "
        "is the UTC "
        "day and is in the path only. Bill costs are `decimal(38, 12)`, estimates `float64`. `cloud_billing`, "
        "`cloud_assets`, `reconciled_assets` and `asset_costs` have besides one column `label_<key>` per key of "
        "`label_keys`: of an asset its own label, or else its bill's.\n"
    )
    return "\n".join([NOTICE, intro, *(_table(table) for table in TABLES)])


def _table(table: Table) -> str:
    rows = [
        f"| `{column.name}` | {column.type} | {column.unit or '–'} | {column.description} |" for column in table.columns
    ]
    path = "/".join(part for part in (table.name, f"<{table.key}>" if table.key else "", "date=…") if part)
    head = f"## {table.name}\n\n{table.description}\n\nGrain: {table.grain}. Path: `{path}`.\n"
    return "\n".join([head, "| column | type | unit | is |", "|---|---|---|---|", *rows, ""])


def settings_page() -> str:
    """Return `docs/settings.md`, from the descriptions of the settings' fields."""
    intro = (
        "# Settings\n\n"
        "One YAML file: the one that `KUBECOST_PIPELINES_CONFIG` names, else `kubecost-pipelines.yaml` in the working "
        "directory. Every value is read as text before it is checked, so that ids keep their leading zeros with "
        "and without "
        "quotes. Secrets are better left to the environment or the provider's default chain; they are never printed.\n"
    )
    parts = (
        ("The file", Settings),
        ("Each of `cloud_stores`", CloudStoreSettings),
        ("Each of `clusters`", ClusterSettings),
        ("`allocation`", AllocationSettings),
        ("`label_mapping` of `allocation`", LabelMappingSettings),
    )
    return "\n".join([NOTICE, intro, *(_model(title, model) for title, model in parts)])


def _model(title: str, model: type[BaseModel]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"`{_words(field.get_default())}`"
        rows.append(f"| `{name}` | {_type(field.annotation)} | {default} | {field.description} |")
    return "\n".join([f"## {title}\n", "| field | type | default | is |", "|---|---|---|---|", *rows, ""])


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (UnionType, typing.Union):
        return " or ".join(_type(part) for part in arguments if part is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is dict:
        return f"{_type(arguments[0])} → {_type(arguments[1])}"
    if origin is tuple:
        inner = _type(arguments[0])
        return "list (see below)" if inner == "see below" else f"list of {inner}"
    names = {str: "text", SecretStr: "secret", bool: "`true`, `false`", float: "number", int: "whole number"}
    return names.get(
        annotation,
        "see below" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else annotation.__name__,
    )


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, BaseModel):
        return "the defaults below"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {keys}" for key, keys in value.items())
    return "none" if value is None else str(value)


def commands_page() -> str:
    """Return `docs/commands.md`, from the help of the command line."""
    intro = "# Commands\n\n`.venv/bin/kubecost-pipelines <command>`; the everyday ones have a `make` target too.\n"
    return "\n".join([NOTICE, intro, *_commands()])


def _commands() -> Iterator[str]:
    for name, command in sorted(cli.commands.items()):
        context = click.Context(command, info_name=f"kubecost-pipelines {name}", terminal_width=100)
        yield f"## {name}\n\n```\n{command.get_help(context)}\n```\n"


def terraform_columns() -> str:
    """Return `deploy/terraform/columns.json`: the columns of each table of the exports, as Glue writes them."""
    tables = {
        "drop_in": [(column.glue_name, column.glue_type) for column in drop_in_columns([], [])],
        **{table: glue_columns(schema) for table, schema in native_tables(RECONCILED_ALLOCATIONS).items()},
    }
    named = {
        table: ",\n".join(f"  {json.dumps({'name': name, 'type': kind})}" for name, kind in columns)
        for table, columns in tables.items()
    }
    return "{\n" + ",\n".join(f' "{table}": [\n{columns}\n ]' for table, columns in named.items()) + "\n}\n"


GENERATED = {
    "docs/tables.md": tables_page,
    "docs/mappings.md": lambda: f"{NOTICE}\n{mappings_page()}",
    "docs/settings.md": settings_page,
    "docs/commands.md": commands_page,
    "deploy/terraform/columns.json": terraform_columns,
}


def main() -> None:
    """Write what is generated, or with `--check` compare it with what is there."""
    stale = []
    for name, page in GENERATED.items():
        path, text = Path(name), page()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run `make docs` and commit them")


if __name__ == "__main__":
    main()
