"""Provider ids: the id of a node, a disk or a load balancer as its cloud bills it, from what Kubernetes shows.

Pure text. The other half, from the bill's resource ids, lies with each bill format in `bills`.
Forms: OpenCost `pkg/cloud/provider/provider.go` (ParseID, ParsePVID, ParseLBID) and its tests.
"""

import re
from collections.abc import Callable

_AWS_NODE = re.compile(r"aws://[^/]*/[^/]*/([^/]+)")
_GCE_NODE = re.compile(r"gce://[^/]*/[^/]*/([^/]+)")
_AWS_VOLUME = re.compile(r"aws:/{1,3}[^/]+/([^/]+)")
_CLASSIC_ELB = re.compile(r"(?:internal-)?([^-.]+)-\d+\.[^.]+\.elb\.amazonaws\.com(?:\.cn)?")
_CUT_SHORT = frozenset({"k8s", "internal", "dualstack"})
"""What Kubecost's own pattern leaves of the hostname of an NLB, an ALB or an internal load balancer: no id at all."""


def normalise_provider_id(asset_type: str, raw: str | None) -> str | None:
    """Return the id of an asset as the bill has it; null where Kubernetes has none.

    Args:
        asset_type: Node, Disk, LoadBalancer or another of Kubecost's types.
        raw: `spec.providerID` of a node, the volume handle of a disk, the address of a load balancer.
    """
    text = (raw or "").strip()
    return _NORMALISERS.get(asset_type, normalise_azure_id)(text) or None


def normalise_node_id(text: str) -> str:
    """`aws:///us-east-2a/i-0abc` → `i-0abc`, `gce://project/zone/name` → `name`, Azure ids in lower case."""
    found = _AWS_NODE.match(text) or _GCE_NODE.match(text)
    return found[1] if found else normalise_azure_id(text)


def normalise_volume_id(text: str) -> str:
    """`aws://us-east-2a/vol-0abc` → `vol-0abc`. The disk of a node carries the node's id."""
    found = _AWS_VOLUME.fullmatch(text)
    return found[1] if found else normalise_node_id(text)


def normalise_load_balancer_id(text: str) -> str:
    """Return the name of a classic ELB, which is its id on the bill; other hostnames and IPs stay as they are.

    The ARN of an NLB or ALB ends in a hash that its hostname does not tell.
    """
    found = _CLASSIC_ELB.fullmatch(text)
    if found:
        return found[1]
    return "" if text in _CUT_SHORT else normalise_azure_id(text)


def normalise_azure_id(text: str) -> str:
    """`azure:///subscriptions/…` → `/subscriptions/…`, in lower case: Kubernetes and the bill differ in every segment.

    Others stay as they are.
    """
    lower = text.lower().removeprefix("azure://")
    return lower if lower.startswith("/subscriptions/") else text


_NORMALISERS: dict[str, Callable[[str], str]] = {
    "Node": normalise_node_id,
    "Disk": normalise_volume_id,
    "LoadBalancer": normalise_load_balancer_id,
}
