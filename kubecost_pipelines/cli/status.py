"""The command `status`: one table for people, or Kubecost's object as JSON."""

import json
from datetime import UTC, datetime

import click

from kubecost_pipelines.settings import SettingsError, load_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the object of Kubecost's /model/etl/status instead.")
def status(as_json: bool) -> None:
    """Print how far every bill and cluster is, from the instance that $DAGSTER_HOME names."""
    from kubecost_pipelines.operations.status import current_status  # noqa: PLC0415 - Dagster takes a second to import

    settings = load_settings()
    if settings is None:
        raise SettingsError("there are no settings here: write kubecost-pipelines.yaml (docs/settings.md).")
    found = current_status(settings, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    from kubecost_pipelines.cli.status_table import print_status  # noqa: PLC0415 - rich, for people only

    print_status(found)
