"""The shape of the settings. Every field's description is its reference (`docs/settings.md`)."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from kubecost_pipelines.core.exports.identity import ExportedCluster, exported_cluster
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.provider_key import Provider, ProviderKey, slug_of
from kubecost_pipelines.settings.allocation import AllocationSettings, Step
from kubecost_pipelines.settings.export import ExportSettings, SecretSettings

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=63)]
"""Ids are text, leading zeros and all. They become path parts and Dagster tags, hence the strict alphabet."""

Uri = Annotated[str, StringConstraints(pattern=r"^(file:///|(s3|gs|abfs|abfss)://[^/]).*")]
"""With two slashes only, `file://data/lake` would be the folder `/lake` of a host `data`."""

LakeUri = Annotated[str, StringConstraints(pattern=r"^(file:///|(s3|gs)://[^/]|abfss?://[^/@:]+@[^/@.:]+\.).*")]
CostMetric = Literal["effective", "billed", "list", "contracted", "amortized", "net"]
StoreProcess = Literal["cloud_assets", "reconciliation"]
ClusterProcess = Literal["allocations", "export"]
Process = StoreProcess | ClusterProcess
"""What can be switched off. Off means no asset, no sensor and no schedule."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CloudStoreSettings(_Part):
    """One cloud bill: who it belongs to, where its export lies, and how to get in."""

    provider: Provider = Field(description="`aws`, `gcp` or `azure`.")
    id: Id = Field(description="AWS account id of the payer, GCP project id or Azure subscription id: the ProviderKey.")
    name: str | None = Field(None, description="Its name for people, shown beside the id; never a key.")
    export: Uri | None = Field(
        None,
        description="Folder of the billing export: `file://…`, `s3://…`, `gs://…` or "
        "`abfss://<container>@<account>.dfs.core.windows.net/…`. For AWS the report's folder: the one that holds the "
        "month folders (legacy CUR) or `data` and `metadata` (CUR 2.0, FOCUS). For Azure the export's folder, the one "
        "that holds its month folders. For Google Cloud a folder of files of the detailed export: CSV, JSON lines or "
        "Parquet.",
    )
    table: str | None = Field(
        None,
        pattern=r"^([A-Za-z][\w:.-]*\.)?\w+\.\w+$",
        description="Instead of `export`, the bill as a table: Google Cloud's detailed export in BigQuery "
        "(`dataset.table` or `project.dataset.table`), or AWS's report in Athena (`database.table` or "
        "`catalog.database.table`).",
    )
    results: Annotated[str, StringConstraints(pattern=r"^s3://[^/]")] | None = Field(
        None, description="Where Athena may write its answers, `s3://…`; each is read and deleted."
    )
    workgroup: str = Field("primary", description="Workgroup of Athena.")
    maximum_bytes_billed: int = Field(
        100_000_000_000, gt=0, description="Most bytes that one query of BigQuery may read; more is refused unread."
    )
    region: str | None = Field(None, description="Region of the export's bucket; found out when omitted.")
    endpoint: str | None = Field(
        None, description="URL of a server that speaks the protocol of S3, Blob Storage or Google's, instead of theirs."
    )
    access_key_id: str | None = Field(
        None, description="Access key; omit both keys to use the provider's default chain."
    )
    secret_access_key: SecretStr | None = Field(None, description="Secret of that key; better left to the environment.")
    account_key: SecretStr | None = Field(None, description="Key of the Azure storage account.")
    sas_token: SecretStr | None = Field(
        None,
        description="Shared access signature of the container; without it and `account_key`, Azure's default chain "
        "(managed or workload identity).",
    )
    service_account_key: SecretStr | None = Field(
        None,
        description="Key of a Google service account, the JSON as text; omit it for the default chain (workload "
        "identity).",
    )
    role_arns: tuple[str, ...] = Field((), description="Roles to assume before reading, one after the other.")
    external_id: str | None = Field(None, description="External id to present with the roles.")
    currency: str | None = Field(
        None, description="Currency to expect; others fail a check. Defaults to that of the clusters."
    )
    off: tuple[StoreProcess, ...] = Field(
        (),
        description="Processes to switch off for this bill: `cloud_assets` (what no cluster claims), `reconciliation` "
        "(its `reconciled_assets`; what it would claim keeps its estimate). `cloud_billing` is copied while "
        "either is on, for both read it; with both off nothing of this bill runs.",
    )

    @property
    def key(self) -> ProviderKey:
        return ProviderKey(self.provider, self.id)

    @property
    def is_queried(self) -> bool:
        """Whether the bill is a table that a query service reads, and not files."""
        return bool(self.table and self.provider != "azure" and not self.export)

    @property
    def is_billed_by_day(self) -> bool:
        """Whether reading fewer days costs less: BigQuery has partitions by day, Athena by month, files none."""
        return self.is_queried and self.provider == "gcp"

    @property
    def title(self) -> str:
        """What people read: `payments-prod (aws/111122223333)`."""
        return f"{self.name} ({self.key})" if self.name else str(self.key)


class ClusterSettings(_Part):
    """One cluster and its Kubecost or OpenCost API."""

    name: Id = Field(description="Name of the cluster, as its cloud and your reports know it.")
    endpoint: str = Field(
        pattern=r"^https?://", description="Base URL of the Kubecost or OpenCost API, without `/model`."
    )
    provider: Provider | None = Field(None, description="Cloud that it runs in; omit on premises.")
    account: Id | None = Field(None, description="AWS account, GCP project or Azure subscription that it runs in.")
    region: str | None = Field(None, description="Region that it runs in: part of the keys of its exports.")
    cluster_id: str | None = Field(
        None,
        description="Its id in exports. An EKS ARN is enough: account, region and the exported name are cut from it, "
        "and it is what a cluster in AWS gets by itself. Defaults to the name elsewhere.",
    )
    flavour: Literal["auto", "kubecost", "opencost"] = Field(
        "auto", description="API to speak; `auto` asks the server."
    )
    currency: str = Field("USD", description="Currency of its price list.")
    token_env: str | None = Field(None, description="Environment variable with a bearer token.")
    username: str | None = Field(None, description="User for basic authentication.")
    password_env: str | None = Field(None, description="Environment variable with that user's password.")
    ca_file: str | None = Field(None, description="PEM file of a private certificate authority.")
    retention_days: int = Field(
        15, ge=1, description="Days that the cluster remembers: those of them that are missing are collected every day."
    )
    step: Step | None = Field(
        None,
        description="Finest step that is collected: `1d`, or `1h` for hours beside the days. Defaults to that of "
        "`allocation`. The cluster has to remember hours for as long as a day may be late.",
    )
    ca_secret: SecretSettings | None = Field(
        None, description="Instead of `ca_file`, a secret in AWS Secrets Manager that holds the PEM."
    )
    connect_timeout_seconds: float = Field(10, gt=0, description="Time to wait for a connection.")
    read_timeout_seconds: float = Field(120, gt=0, description="Time to wait for the next byte of an answer.")
    max_attempts: int = Field(4, ge=1, description="Tries per request; the pause doubles after each.")
    verify_totals: bool = Field(
        True,
        description="Ask for the day's total (`aggregate=cluster`) and refuse allocations that do not add up to it.",
    )
    off: tuple[ClusterProcess, ...] = Field(
        (),
        description="Processes to switch off for this cluster: `allocations` (collected and reconciled, and their "
        "export), `export`. `in_cluster_assets` stay, because reconciliation needs them.",
    )

    @property
    def slug(self) -> str:
        return slug_of(self.name)

    @property
    def exported(self) -> ExportedCluster:
        """Who it is in exports."""
        return exported_cluster(self.name, self.provider, self.account, self.region, self.cluster_id)


class Settings(_Part):
    """One deployment."""

    lake: LakeUri = Field(
        description="Where the Parquet goes: `file:///…`, `s3://<bucket>/…`, `gs://<bucket>/…` or "
        "`abfs://<container>@<account>.dfs.core.windows.net/…`."
    )
    start_date: date = Field(description="First day to cover.")
    settle_hours: float = Field(48, ge=0, description="Hours after a day's end at which its bill counts as complete.")
    utc_offset: str = Field(
        "+00:00",
        pattern=r"^[+-]([01]\d|2[0-3]):[0-5]\d$",
        description="Offset, such as `-08:00`, by which `today`, `week` and `month` of a window are meant. Days of the "
        "lake are UTC days all the same.",
    )
    runs_by_itself: bool = Field(
        True,
        description="Whether sensors, schedules and automation start switched on; each has its switch in the UI too.",
    )
    refresh_hours: float = Field(6, gt=0, description="Hours between two questions whether a bill has changed.")
    trailing_days: int = Field(
        3,
        ge=1,
        description="Days before today that each question is about. Earlier days of the month, where asking costs a "
        "query, and closed months follow at every sixth question.",
    )
    restatement_months: int = Field(
        3, ge=0, description="Closed months that a bill is still asked about; earlier ones are read once."
    )
    days_per_tick: int = Field(31, ge=1, description="Most days of one bill to request at once.")
    digest_megabytes: float = Field(
        100,
        ge=0,
        description="Largest month of a bill (its files, or what a query of it reads) that a sensor reads to find out "
        "which days have changed; of a larger one all days are read again when its files change.",
    )
    cloud_integration: str | None = Field(
        None,
        description="The `cloud-integration.json` that Kubecost and OpenCost use, in either shape; relative to "
        "this file.",
    )
    cloud_stores: tuple[CloudStoreSettings, ...] = Field(
        (), description="Cloud bills; added to those of `cloud_integration`."
    )
    clusters: tuple[ClusterSettings, ...] = Field((), description="Clusters to read.")
    export: ExportSettings | None = Field(None, description="Parquet for Athena and QuickSight; omit to write none.")
    cost_metric: CostMetric = Field("effective", description="The cost that estimates are moved to.")
    label_keys: tuple[str, ...] = Field(
        (), description="Tag keys to keep from the bill, each also a column `label_<key>`."
    )
    allocation: AllocationSettings = Field(AllocationSettings(), description="How workload costs are shared.")
    minimum_coverage: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of the estimated cost that should find its bill row; less fails a check (a warning).",
    )
    memory_limit: str = Field("600MB", description="Memory DuckDB may take before it spills to `scratch`.")
    scratch: str | None = Field(None, description="Folder for temporary files; the system's when omitted.")
    dagster_url: str = Field(
        "http://localhost:3000",
        pattern=r"^https?://",
        description="The Dagster webserver that rebuilds and repairs go to.",
    )
    owners: tuple[str, ...] = Field(
        ("team:finops",), description="Owners shown on every asset: `team:<name>` or an address."
    )

    off: tuple[Process, ...] = Field(
        (),
        description="Processes to switch off for every bill and cluster: `cloud_assets`, `reconciliation`, "
        "`allocations`, `export`. Off means no asset, no sensor and no schedule, and `status` says so.",
    )

    def runs(self, process: Process, of: CloudStoreSettings | ClusterSettings | None = None) -> bool:
        """Say whether a process is on: in this deployment, and for one bill or cluster if given."""
        switched_off = {*self.off, *(of.off if of else ())}
        return process not in switched_off and not (process == "export" and "allocations" in switched_off)

    def has_hours(self, cluster: ClusterSettings) -> bool:
        """Say whether a cluster's allocations are collected and reconciled by the hour too."""
        return self.runs("allocations", cluster) and (cluster.step or self.allocation.step) == "1h"

    def reads_bill_of(self, store: CloudStoreSettings) -> bool:
        """Say whether anything is made from this bill."""
        return self.runs("cloud_assets", store) or self.runs("reconciliation", store)

    @property
    def bill_label_keys(self) -> tuple[str, ...]:
        """Keys to keep from the bill: those asked for, and those of the label mapping that are not kept anyway."""
        known = (*ATTRIBUTION_TAGS, *self.label_keys)
        return (*(key for key in self.allocation.label_mapping.as_mapping.keys if key not in known), *self.label_keys)

    @property
    def zone(self) -> tzinfo:
        return datetime.strptime(self.utc_offset, "%z").tzinfo or UTC

    @property
    def settle_after(self) -> timedelta:
        return timedelta(hours=self.settle_hours)

    @property
    def refresh_every(self) -> timedelta:
        return timedelta(hours=self.refresh_hours)

    @field_validator("label_keys")
    @classmethod
    def _label_keys_are_distinct(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(map(slug_of, map(str.lower, keys)))) < len(keys):
            raise ValueError("two of these keys would share one column; keep one of them")
        return keys

    @model_validator(mode="after")
    def _keys_are_unique(self) -> "Settings":
        _refuse_duplicates("cloud_stores", [str(store.key) for store in self.cloud_stores], "ProviderKey")
        _refuse_duplicates("clusters", [cluster.name for cluster in self.clusters], "cluster name")
        _refuse_duplicates("clusters", [cluster.slug for cluster in self.clusters], "cluster name (after - becomes _)")
        if self.export:
            names = [f"{e.account}/{e.region}/{e.name}" for e in (cluster.exported for cluster in self.clusters)]
            _refuse_duplicates("clusters", names, "account/region/name in the export")
        _refuse_duplicates("cloud_stores", [s.key.slug for s in self.cloud_stores], "ProviderKey (after - becomes _)")
        return self


def _refuse_duplicates(where: str, names: list[str], kind: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{where}: {kind} {', '.join(twice)} is given twice; keep one entry for each")
