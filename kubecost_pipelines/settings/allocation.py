"""Settings of workload costs: what is shared, with whom, and which labels name a workload."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kubecost_pipelines.core.label_mapping import LABELS, NAMES, LabelMapping

Keys = Annotated[str, StringConstraints(pattern=r"\S")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelMappingSettings(_Part):
    """Which labels of a cloud resource name which part of a workload."""

    cluster: Keys = Field(NAMES["cluster"], description="Keys that name the cluster.")
    namespace: Keys = Field(NAMES["namespace"], description="Keys that name the namespace.")
    controller: Keys = Field(NAMES["controller"], description="Keys that name a controller of any kind.")
    deployment: Keys = Field(NAMES["deployment"], description="Keys that name a deployment.")
    daemonset: Keys = Field(NAMES["daemonset"], description="Keys that name a daemon set.")
    statefulset: Keys = Field(NAMES["statefulset"], description="Keys that name a stateful set.")
    service: Keys = Field(NAMES["service"], description="Keys that name a service.")
    pod: Keys = Field(NAMES["pod"], description="Keys that name a pod.")
    container: Keys = Field(NAMES["container"], description="Keys that name a container.")
    labels: dict[str, Keys] = Field(
        LABELS,
        description="Label of a workload -> keys that name its value, such as `team: kubernetes_label_team,Team`.",
    )

    @property
    def as_mapping(self) -> LabelMapping:
        """The mapping as `core` takes it."""
        return LabelMapping({name: getattr(self, name) for name in NAMES}, dict(self.labels))


Step = Literal["1d", "1h"]


class AllocationSettings(_Part):
    """How workload costs are made, and what a query does with what nobody used unless it says otherwise.

    The table keeps idle, shared and external cost as rows of their own; nothing here changes it but `label_mapping` and
    `short_term_days`.
    """

    step: Step = Field(
        "1d",
        description="Finest step of the clusters that do not say otherwise. `1h` collects and reconciles their hours "
        "beside their days, in `allocations_hourly` and `reconciled_allocations_hourly`: about 24 times the rows.",
    )
    share_idle: Literal["keep", "node", "cluster", "namespace"] = Field(
        "keep",
        description="Who pays for idle: nobody (`keep`), the workloads of its node, those of its cluster by cost, or "
        "the cluster's namespaces by the hours that they asked for.",
    )
    share_tenancy_costs: bool = Field(
        True, description="Whether workloads pay for the management fee, the nodes' own disks and other shared cost."
    )
    share_namespaces: tuple[str, ...] = Field((), description="Namespaces whose cost the others pay for.")
    share_labels: tuple[Annotated[str, StringConstraints(pattern=r"^[^:]+:.+$")], ...] = Field(
        (), description="Labels, `key:value`, whose workloads the others pay for."
    )
    share_cost: float = Field(
        0.0,
        ge=0,
        description="Flat cost per month (of 730 hours) to spread over the workloads, in the currency of the clusters.",
    )
    share_split: Literal["weighted", "even"] = Field(
        "weighted", description="Whether shared cost is split by what each costs already, or evenly."
    )
    label_mapping: LabelMappingSettings = Field(
        LabelMappingSettings(), description="Which labels of cloud resources name a workload."
    )
    short_term_days: int = Field(
        7,
        ge=0,
        le=60,
        description="Settled days over whose cost a node is priced until its day settles; 0 keeps the list price.",
    )
