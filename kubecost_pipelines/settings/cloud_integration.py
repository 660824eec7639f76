"""`cloud-integration.json`: the file that Kubecost and OpenCost users already have, in both of its shapes.

Legacy: provider -> list of entries. New: provider -> kind -> list of entries, with an `authorizer` each.
The shape is told by the JSON type of the provider's value. Two fields of our own are
understood in either: `export`, the folder of the billing files, which comes before a table, and `name`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

AZURE_HOSTS = {
    "gov": "core.usgovcloudapi.net",
    "china": "core.chinacloudapi.cn",
    "public": "core.windows.net",
}
"""What the name of a cloud contains, and where its storage is."""


def read_cloud_integration(path: Path) -> list[Entry]:
    """Read the file as entries of our own `cloud_stores`.

    Raises:
        ValueError: no such file, not JSON, or not one of the two shapes; the message says which and where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}; correct the path, or remove the setting") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from None
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected an object such as {{"aws": […]}}')  # noqa: TRY004 - the user's file, not a type
    return [store for provider, value in content.items() for store in _stores_of(path, provider, value)]


def _stores_of(path: Path, provider: str, value: Any) -> Iterator[Entry]:
    kinds = value if isinstance(value, dict) else {"": value}
    for kind, entries in kinds.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path}: {provider}{'.' + kind if kind else ''}: expected a list of objects")
        for entry in entries:
            if any(entry.values()):  # an entry with nothing in it is what the Helm chart writes by default
                store = {"name": entry.get("name"), **_store(provider, entry)}
                yield {name: text for name, text in store.items() if text}


def _store(provider: str, entry: Entry) -> Entry:
    match provider:
        case "aws":
            return _aws_store(entry)
        case "gcp":
            return _gcp_store(entry)
        case "azure":
            return _azure_store(entry)
    raise ValueError(f"provider {provider} is not one of aws, gcp, azure; remove its entries")


def _gcp_store(entry: Entry) -> Entry:
    key = (entry.get("authorizer") or entry).get("key")
    return {
        "provider": "gcp",
        "id": entry.get("projectID"),
        "export": entry.get("export"),
        "table": _table(entry.get("billingDataDataset") or ".".join(_filled(entry, "dataset", "table"))),
        "service_account_key": json.dumps(key) if key else None,
    }


def _filled(entry: Entry, *names: str) -> list[str]:
    return [str(entry[name]) for name in names if entry.get(name)]


def _table(name: str) -> str | None:
    """Return the name of a table; half of one is none, so that only its store is incomplete."""
    return name if "." in name.strip(".") else None


def _azure_store(entry: Entry) -> Entry:
    authorizer = entry.get("authorizer") or {}
    account = entry.get("azureStorageAccount") or entry.get("account")
    container = entry.get("azureStorageContainer") or entry.get("container")
    path = entry.get("azureContainerPath") or entry.get("path") or ""
    cloud = str(entry.get("azureCloud") or entry.get("cloud") or "public").lower()
    host = next((host for name, host in AZURE_HOSTS.items() if name in cloud), AZURE_HOSTS["public"])
    here = f"abfss://{container}@{account}.dfs.{host}/{str(path).strip('/')}" if account and container else None
    return {
        "provider": "azure",
        "id": entry.get("azureSubscriptionID") or entry.get("subscriptionID"),
        "export": entry.get("export") or here,
        "account_key": entry.get("azureStorageAccessKey") or authorizer.get("accessKey"),
    }


def _aws_store(entry: Entry) -> Entry:
    authorizer, roles = entry.get("authorizer") or {}, [entry.get("masterPayerARN")]
    while authorizer.get("authorizerType") == "AWSAssumeRole":
        # Authorizers nest: the innermost is used first.
        authorizer, roles = authorizer.get("authorizer") or {}, [authorizer.get("roleARN"), *roles]
    is_athena = any(entry.get(name) for name in ("athenaTable", "athenaDatabase", "table", "database"))
    bucket = entry.get("bucket") or entry.get("athenaBucketName")
    # An Athena entry's bucket holds query results, an S3 entry's the export itself.
    place = f"s3://{str(bucket).removeprefix('s3://')}" if bucket else None
    names = (entry.get(f"athena{name}") or entry.get(name.lower()) for name in ("Catalog", "Database", "Table"))
    key_id = entry.get("serviceKeyName") or authorizer.get("id")
    return {
        "provider": "aws",
        "id": entry.get("projectID") or entry.get("account"),
        "export": entry.get("export") or (None if is_athena else place),
        "table": _table(".".join(name for name in names if name)) if is_athena else None,
        "results": place if is_athena else None,
        "workgroup": entry.get("athenaWorkgroup") or entry.get("workgroup"),
        "region": entry.get("region") or entry.get("athenaRegion"),
        "access_key_id": None if key_id == "AKIXXX" else key_id,  # what the documentation's sample says
        "secret_access_key": entry.get("serviceKeySecret") or authorizer.get("secret"),
        "role_arns": [role for role in roles if role],
    }
