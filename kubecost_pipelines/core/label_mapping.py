"""Label mapping: what of a workload is named by which keys of a charge's labels (Kubecost's `LabelConfig`).

A key may be a comma list, of which the first that the charge has counts; each is tried as written, sanitised to
letters, digits and underscores, and as Athena writes it (lower case, no doubled underscores). Plain data: the settings
read it, without waiting for Ibis.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CONTROLLER_KINDS = ("deployment", "daemonset", "statefulset")

NAMES = {
    "cluster": "kubernetes_cluster",
    "namespace": "kubernetes_namespace",
    "controller": "kubernetes_controller",
    **{kind: f"kubernetes_{kind}" for kind in CONTROLLER_KINDS},
    "service": "kubernetes_service",
    "pod": "kubernetes_pod",
    "container": "kubernetes_container",
}
LABELS = {
    "department": "kubernetes_label_department",
    "env": "kubernetes_label_env",
    "owner": "kubernetes_label_owner",
    "app": "kubernetes_label_app",
    "team": "kubernetes_label_team",
}
"""Kubecost's defaults: label of a workload -> keys of a charge's labels. Its business label "product" is `app`."""

_PARTS = (
    *("cluster", "namespace", "controller", "deployment", "daemonset", "statefulset", "service", "pod", "container"),
    *(f"label_{name}" for name in ("department", "env", "owner", "app", "team")),
)
ATTRIBUTION_TAGS = tuple(f"kubernetes_{name}" for name in _PARTS)
"""Tags by which people attribute a cloud resource to a workload (Kubecost's default label mapping)."""


@dataclass(frozen=True)
class LabelMapping:
    """Which keys of a charge's labels name which part, or which label, of a workload."""

    names: Mapping[str, str] = field(default_factory=lambda: NAMES)
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that a bill has to keep, in all its forms."""
        lists = (*self.names.values(), *self.labels.values())
        return tuple(dict.fromkeys(form for text in lists for form in key_forms(text)))


def key_forms(keys: str) -> tuple[str, ...]:
    """Return the keys of a comma list, each as written, sanitised and as Athena writes it."""
    forms = []
    for key in filter(None, (part.strip() for part in keys.split(","))):
        sanitised = re.sub("[^A-Za-z0-9_]", "_", key)
        forms += [key, sanitised, re.sub("_+", "_", sanitised.lower())]
    return tuple(dict.fromkeys(forms))
