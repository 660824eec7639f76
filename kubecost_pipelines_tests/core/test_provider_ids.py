"""Cases: OpenCost `pkg/cloud/provider/provider_test.go`, and hostnames of AWS load balancers."""

import pytest

from kubecost_pipelines.core.provider_ids import normalise_provider_id

_SCALE_SET = (
    "azure:///subscriptions/0badf00d/resourceGroups/mc_rg/providers/Microsoft.Compute/virtualMachineScaleSets/"
    "aks-userpool-12345678-vmss/virtualMachines/11"
)
_ELB = "ad9d88195b52a47c89b5055120f28c58"

CASES = [
    ("Node", "aws:///us-east-2a/i-0fea4fd46592d050b", "i-0fea4fd46592d050b"),
    ("Node", "i-0fea4fd46592d050b", "i-0fea4fd46592d050b"),
    ("Node", "gce://guestbook-11111/us-central1-a/gke-niko-8df8e58a-hfy7", "gke-niko-8df8e58a-hfy7"),
    ("Node", _SCALE_SET, _SCALE_SET.lower().removeprefix("azure://")),
    ("Node", "kind://docker/kind/kind-worker", "kind://docker/kind/kind-worker"),
    ("Disk", "aws://us-east-2a/vol-0fc54c5e83b8d2b76", "vol-0fc54c5e83b8d2b76"),
    ("Disk", "aws:///us-east-2a/vol-0fc54c5e83b8d2b76", "vol-0fc54c5e83b8d2b76"),
    ("Disk", "aws:///us-east-1a/i-0abc", "i-0abc"),
    ("Disk", "gce://project/us-central1-a/gke-boot", "gke-boot"),
    ("Disk", "pvc-16465f04-6464-483e-89af-9e68b4a59e72", "pvc-16465f04-6464-483e-89af-9e68b4a59e72"),
    ("Disk", "/subscriptions/S/resourceGroups/MC_Rg/providers/Microsoft.Compute/disks/D",
     "/subscriptions/s/resourcegroups/mc_rg/providers/microsoft.compute/disks/d"),
    ("LoadBalancer", f"{_ELB}-1037804914.us-east-2.elb.amazonaws.com", _ELB),
    ("LoadBalancer", f"internal-{_ELB}-1037804914.us-east-2.elb.amazonaws.com", _ELB),
    ("LoadBalancer", f"{_ELB}-1037804914.cn-north-1.elb.amazonaws.com.cn", _ELB),
    ("LoadBalancer", "35.202.154.180", "35.202.154.180"),
    ("ClusterManagement", "", None),
    ("Node", "  ", None),
    ("Disk", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("asset_type", "raw", "expected"), CASES)
def test_an_id_reads_as_the_bill_has_it(asset_type: str, raw: str | None, expected: str | None) -> None:
    assert normalise_provider_id(asset_type, raw) == expected


@pytest.mark.parametrize(
    "hostname",
    [
        "k8s-default-web-0a1b2c3d4e-abc123.elb.us-east-1.amazonaws.com",
        "k8s-default-web-0a1b2c3d4e-1037804914.us-east-1.elb.amazonaws.com",
        f"{_ELB}-0123456789abcdef.elb.us-east-1.amazonaws.com",
    ],
)
def test_the_hostname_of_an_nlb_or_alb_is_not_cut(hostname: str) -> None:
    assert normalise_provider_id("LoadBalancer", hostname) == hostname


@pytest.mark.parametrize("rest", ["k8s", "internal"])
def test_what_kubecost_leaves_of_such_a_hostname_is_no_id(rest: str) -> None:
    assert normalise_provider_id("LoadBalancer", rest) is None


@pytest.mark.parametrize(("asset_type", "raw", "expected"), CASES)
def test_a_normalised_id_stays_as_it_is(asset_type: str, raw: str | None, expected: str | None) -> None:
    assert normalise_provider_id(asset_type, expected) == expected
