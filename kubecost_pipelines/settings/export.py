"""The settings of exports: where allocations go as Parquet, as whom, and the tables through which Athena sees them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

Aggregation = Literal["container", "pod", "namespace", "controller", "controllerKind", "node", "cluster"]


class Part(BaseModel):
    """Fields that are all known, and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AwsIdentitySettings(Part):
    """As whom to work in AWS: the default chain (IRSA and its web identity included), then one role after the other."""

    region: str | None = Field(None, description="AWS region; the environment's when omitted.")
    endpoint: str | None = Field(None, description="URL of a server that speaks AWS's protocols, instead of theirs.")
    access_key_id: str | None = Field(None, description="Access key; omit both keys to use the default chain.")
    secret_access_key: SecretStr | None = Field(None, description="Secret of that key; better left to the environment.")
    role_arns: tuple[str, ...] = Field(
        (),
        description="Roles to assume, one after the other, such as the one in the account of the bucket. Sessions "
        "renew themselves.",
    )
    external_id: str | None = Field(None, description="External id to present with the roles.")
    session_name: str = Field(
        "kubecost-pipelines",
        pattern=r"^[\w+=,.@-]{2,64}$",
        description="Name of the sessions, as CloudTrail shows it.",
    )


class SecretSettings(AwsIdentitySettings):
    """One secret in AWS Secrets Manager."""

    id: str = Field(description="Name or ARN of the secret; its text is what counts.")


class GlueSettings(Part):
    """The tables that Athena sees."""

    database: str = Field("kubecost_db", pattern=r"^[a-z0-9_]+$", description="Database; made when it is not there.")
    table: str = Field("kubecost_table", pattern=r"^[a-z0-9_]+$", description="Table of the drop-in layout.")
    native_table: str = Field(
        "allocations",
        pattern=r"^[a-z0-9_]+$",
        description="Table of the native layout; `<name>_volumes` and `<name>_load_balancers` lie beside it.",
    )
    projection: bool = Field(
        False,
        description="Let Athena compute the partitions instead of registering them: no call of Glue per day. The "
        "clusters are then those of these settings.",
    )
    region: str | None = Field(None, description="Region of the catalog; the export's when omitted.")
    catalog_id: str | None = Field(None, description="Account of the catalog; the identity's own when omitted.")
    workgroup: str = Field("primary", description="Workgroup of Athena for the check of what it sees.")
    results: Annotated[str, StringConstraints(pattern=r"^s3://[^/]+/[^/]")] | None = Field(
        None,
        description="Folder into which Athena may write the answers of that check, `s3://bucket/folder/`; else the "
        "workgroup's place.",
    )
    verify: bool = Field(
        True, description="Count each day in Athena after its export and compare: one small query for each file."
    )


class ExportSettings(Part):
    """Parquet of the allocations for Athena, QuickSight and others."""

    location: Annotated[str, StringConstraints(pattern=r"^(file:///|s3://[^/]).*")] = Field(
        description="Where the files go: `s3://bucket/prefix` or `file:///…`."
    )
    layouts: tuple[Literal["drop_in", "native"], ...] = Field(
        ("drop_in",),
        min_length=1,
        description="`drop_in`: the files, keys and columns of AWS's containers-cost-allocation-dashboard, so that its "
        "tables and dashboards go on. `native`: everything that we know, by cluster and day, volumes and load "
        "balancers as tables of their own.",
    )
    source: Literal["reconciled", "estimates"] = Field(
        "reconciled",
        description="`reconciled`: costs moved to the bill. `estimates`: what the cluster says, adjustments that it "
        "made itself included.",
    )
    aggregation: Aggregation = Field("container", description="What a row is.")
    labels: tuple[str, ...] = Field(
        (), description="Labels to add to the drop-in layout, a column `properties.labels.<key>` each; original keys."
    )
    annotations: tuple[str, ...] = Field((), description="Annotations, likewise.")
    identity: AwsIdentitySettings = Field(
        default_factory=lambda: AwsIdentitySettings.model_validate({}),
        description="As whom to write the files and register the partitions.",
    )
    glue: GlueSettings | None = Field(None, description="Register what is written in AWS Glue; omit to leave it alone.")

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> "ExportSettings":
        for name, keys in (("labels", self.labels), ("annotations", self.annotations)):
            if len({key.lower() for key in keys}) < len(keys):
                raise ValueError(f"{name}: two keys would share one column, for Glue knows lower case only; keep one")
        if self.glue and not self.location.startswith("s3://"):
            raise ValueError("glue: its tables lie in S3; let `location` be s3://…, or remove `glue`")
        return self
