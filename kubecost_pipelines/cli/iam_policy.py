"""`kubecost-pipelines iam-policy`: the policy document of one cluster's export."""

import json
from urllib.parse import urlsplit

import click

from kubecost_pipelines.cli.export import chosen_clusters, export_settings
from kubecost_pipelines.core.exports.identity import UNKNOWN
from kubecost_pipelines.core.exports.policies import GluePolicy, export_policy
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, SettingsError


def print_policy(name: str, account: str) -> None:
    """Print the policy of the cluster `name`."""
    settings, export = export_settings()
    [cluster] = chosen_clusters(settings, [name])
    click.echo(json.dumps(policy_of(cluster, export, account), indent=2))


def policy_of(cluster: ClusterSettings, export: ExportSettings, account: str) -> dict[str, object]:
    """Return the policy document that the settings need."""
    scheme, bucket, path, *_ = urlsplit(export.location)
    if scheme != "s3":
        raise SettingsError(f"`export.location` is {export.location}: only an export to s3:// needs a policy.")
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    secrets = [_arn(cluster.ca_secret.id)] if cluster.ca_secret else []
    return export_policy(
        cluster.exported,
        cluster.name,
        bucket=bucket,
        prefix=prefix,
        layouts=export.layouts,
        glue=_glue(cluster, export, account),
        secrets=secrets,
    )


def _arn(secret: str) -> str:
    """Secrets Manager adds a dash and six letters to a name."""
    return secret if secret.startswith("arn:") else f"arn:*:secretsmanager:*:*:secret:{secret}-??????"


def _glue(cluster: ClusterSettings, export: ExportSettings, account: str) -> GluePolicy | None:
    glue = export.glue
    if glue is None:
        return None
    drop_in = (glue.table,) if "drop_in" in export.layouts else ()
    native = (glue.native_table, f"{glue.native_table}_*") if "native" in export.layouts else ()
    region = glue.region or export.identity.region or cluster.exported.region
    return GluePolicy(
        "*" if region == UNKNOWN else region,
        glue.catalog_id or account,
        glue.database,
        drop_in + native,
        glue.workgroup,
        glue.results.removeprefix("s3://") if glue.results else None,
    )
