"""Loading: YAML file to `Settings`, with errors that name the field and the cure."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kubecost_pipelines.settings.cloud_integration import read_cloud_integration
from kubecost_pipelines.settings.model import Settings

CONFIG_VARIABLE = "KUBECOST_PIPELINES_CONFIG"
DEFAULT_CONFIG = "kubecost-pipelines.yaml"


class SettingsError(Exception):
    """The settings cannot be used. The message names the file, the field and the cure."""


class _TextLoader(yaml.SafeLoader):
    """YAML in which every scalar but null stays text, so that an id such as 012345678901 survives."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        letter: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_settings(path: Path | None = None) -> Settings | None:
    """Read the settings from `path`, or from where the environment says.

    Returns:
        The settings; None when no file is named and the default one does not exist: nothing is configured yet.

    Raises:
        SettingsError: the file is missing although named, is not YAML, or breaks the model.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    file = (named or Path(DEFAULT_CONFIG)).absolute()
    if not file.is_file():
        if named is None:
            return None
        raise SettingsError(f"{file}: no such file. Set {CONFIG_VARIABLE} to your settings, or create the file.")
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_TextLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected `name: value` lines, such as `lake: file:///data/lake`.")
    return _validated(file, content)


def _validated(file: Path, content: dict[str, Any]) -> Settings:
    content = {key: value for key, value in content.items() if value is not None}
    integration = content.get("cloud_integration")
    stores = content.get("cloud_stores", [])
    if isinstance(integration, str) and isinstance(stores, list):
        try:
            content["cloud_stores"] = [*read_cloud_integration(file.parent / integration), *stores]
        except ValueError as error:
            raise SettingsError(f"{file}: cloud_integration: {error}") from error
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        lines = [
            f"  {_where(e['loc'])}{e['msg']}{_cure(e)}" for e in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("\n".join([f"{file}:", *lines])) from None


def _where(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{path}: " if path else ""


_CURES = {
    "missing": "add it",
    "extra_forbidden": "remove it, or correct its spelling (docs/settings.md lists the fields)",
    "string_pattern_mismatch": "see docs/settings.md for the accepted form",
    "tuple_type": "write it as a list: one `- ` line for each",
    "model_type": "write it as `{name: value, …}`",
    "date_from_datetime_parsing": "write it as YYYY-MM-DD",
    "date_parsing": "write it as YYYY-MM-DD",
}


def _cure(error: Any) -> str:
    cure = _CURES.get(error["type"])
    return f"; {cure}" if cure else ""
