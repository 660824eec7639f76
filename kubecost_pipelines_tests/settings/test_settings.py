"""Settings that a user writes, right and wrong; an error names the field and the cure."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.clouds import missing_fields
from kubecost_pipelines.core.provider_key import ProviderKey
from kubecost_pipelines.settings import CONFIG_VARIABLE, SettingsError, load_settings

MINIMAL = "lake: file:///data/lake\nstart_date: 2026-10-01\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "kubecost-pipelines.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_example_loads(tmp_path: Path) -> None:
    text = MINIMAL + (
        "settle_hours: 48\n"
        "cloud_stores:\n"
        '  - {provider: aws, id: "111122223333", export: "file:///bills/cur"}\n'
        "clusters:\n"
        '  - {name: prod-eks-1, endpoint: "http://kubecost:9090", provider: aws, account: "111122223333"}\n'
        "cost_metric: effective\n"
        "label_keys: [team, env, app]\n"
    )

    settings = load_settings(write(tmp_path, text))

    assert settings is not None
    assert settings.cloud_stores[0].key == ProviderKey("aws", "111122223333")
    assert (settings.start_date, settings.settle_after) == (date(2026, 10, 1), timedelta(hours=48))
    assert settings.label_keys == ("team", "env", "app")


@pytest.mark.parametrize("written", ["012345678901", '"012345678901"', "'012345678901'"])
def test_an_id_keeps_its_leading_zero_with_and_without_quotes(tmp_path: Path, written: str) -> None:
    settings = load_settings(write(tmp_path, MINIMAL + f"cloud_stores:\n  - {{provider: aws, id: {written}}}\n"))

    assert settings is not None
    assert settings.cloud_stores[0].id == "012345678901"


STORE = "  - {provider: aws, id: '111122223333'}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start_date: 2026-10-01\n", ["lake: ", "add it"]),
        ("lake: /data\nstart_date: 2026-10-01\n", ["lake: ", "docs/settings.md"]),
        ("lake: file:///d\nstart_date: yesterday\n", ["start_date: ", "YYYY-MM-DD"]),
        ("lake: file://data/lake\nstart_date: 2026-10-01\n", ["lake: ", "file:///"]),
        ("lake: abfs://lake/costs\nstart_date: 2026-10-01\n", ["lake: ", "abfs", "docs/settings.md"]),
        ("lake: abfs://acme:key@acme.dfs.core.windows.net\nstart_date: 2026-10-01\n", ["lake: ", "docs/settings.md"]),
        (MINIMAL + "lakes: x\n", ["lakes: ", "spelling"]),
        (MINIMAL + "settle_hours: soon\n", ["settle_hours: "]),
        (MINIMAL + "cloud_stores:\n" + STORE + STORE, ["ProviderKey aws/111122223333 is given twice"]),
        (MINIMAL + "cloud_stores: aws\n", ["cloud_stores: ", "list"]),
        (MINIMAL + "cloud_stores:\n  - {provider: amazon, id: x}\n", ["cloud_stores[0].provider: ", "'aws'"]),
        (MINIMAL + "cloud_stores:\n  - {provider: aws, id: ../../etc}\n", ["cloud_stores[0].id: "]),
        (MINIMAL + "clusters:\n  - {name: a, endpoint: 'kubecost:9090'}\n", ["clusters[0].endpoint: "]),
        (
            MINIMAL + "clusters:\n  - {name: a-b, endpoint: 'http://a'}\n  - {name: a_b, endpoint: 'http://b'}\n",
            ["a_b"],
        ),
        (MINIMAL + "label_keys: [team, Team]\n", ["label_keys: ", "column"]),
        (MINIMAL + "start_date: 2026-11-01\n", ["start_date", "twice"]),
        ("just words", ["name: value"]),
        ("lake: [unclosed", ["YAML"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)

    with pytest.raises(SettingsError) as error:
        load_settings(path)

    assert str(path) in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_without_any_configuration_there_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)

    assert load_settings() is None


def test_a_file_that_is_named_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "nowhere.yaml"))

    with pytest.raises(SettingsError, match=r"nowhere.yaml: no such file"):
        load_settings()


LEGACY = """{"aws": [{"athenaBucketName": "s3://results", "athenaRegion": "eu-west-1", "athenaDatabase": "cur",
 "athenaTable": "cur", "projectID": "297945954695", "serviceKeyName": "AKIA1", "serviceKeySecret": "hush-hush",
 "masterPayerARN": "arn:aws:iam::1:role/R", "export": "s3://billing/cur"}],
 "gcp": [{"projectID": "guestbook-227502", "billingDataDataset": "billing.export_v1", "key": {}}],
 "azure": [{"azureSubscriptionID": "0bd50fdf-c923-4e1e-850c-196dd3dcc5d3", "azureStorageAccount": "a"}]}"""
NEW = """{"aws": {"s3": [{"bucket": "billing", "region": "eu-west-1", "account": "297945954695",
 "authorizer": {"authorizerType": "AWSAssumeRole", "roleARN": "arn:aws:iam::1:role/R",
 "authorizer": {"authorizerType": "AWSAccessKey", "id": "AKIA1", "secret": "hush-hush"}}}]}}"""


@pytest.mark.parametrize(
    ("content", "export", "keys"),
    [
        (
            LEGACY,
            "s3://billing/cur",
            ["aws/297945954695", "gcp/guestbook-227502", "azure/0bd50fdf-c923-4e1e-850c-196dd3dcc5d3"],
        ),
        (NEW, "s3://billing", ["aws/297945954695"]),
    ],
    ids=["legacy", "new"],
)
def test_both_shapes_of_cloud_integration_are_read(tmp_path: Path, content: str, export: str, keys: list[str]) -> None:
    (tmp_path / "cloud-integration.json").write_text(content, encoding="utf-8")

    settings = load_settings(write(tmp_path, MINIMAL + "cloud_integration: cloud-integration.json\n"))

    assert settings is not None
    assert [str(store.key) for store in settings.cloud_stores] == keys
    aws = settings.cloud_stores[0]
    assert (aws.export, aws.region, aws.role_arns) == (export, "eu-west-1", ("arn:aws:iam::1:role/R",))
    assert aws.secret_access_key is not None
    assert aws.secret_access_key.get_secret_value() == "hush-hush"
    assert "hush-hush" not in repr(settings)
    assert "hush-hush" not in str(settings.model_dump())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"aws": "x"}', "aws: expected a list"),
        ('{"oracle": [{"a": "b"}]}', "oracle is not one of"),
    ],
)
def test_a_broken_cloud_integration_is_explained(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "ci.json").write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError, match=f"cloud_integration: .*{words}"):
        load_settings(write(tmp_path, MINIMAL + "cloud_integration: ci.json\n"))


def test_one_account_in_both_places_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ci.json").write_text(NEW, encoding="utf-8")
    text = MINIMAL + "cloud_integration: ci.json\ncloud_stores:\n  - {provider: aws, id: '297945954695'}\n"

    with pytest.raises(SettingsError, match="aws/297945954695 is given twice"):
        load_settings(write(tmp_path, text))


def test_a_wrong_secret_field_does_not_show_the_secret(tmp_path: Path) -> None:
    text = MINIMAL + "cloud_stores:\n  - {provider: aws, id: '1', secret_access_key: [hush-hush]}\n"

    with pytest.raises(SettingsError) as error:
        load_settings(write(tmp_path, text))

    assert "hush-hush" not in str(error.value)


AZURE = {"azureSubscriptionID": "sub-1", "azureStorageAccount": "acme", "azureStorageContainer": "exports",
         "azureStorageAccessKey": "hush-hush", "azureContainerPath": "/daily/", "name": "payments-prod"}  # fmt: skip
NEW_AZURE = {"subscriptionID": "sub-1", "account": "acme", "container": "exports", "path": "daily",
             "authorizer": {"authorizerType": "AzureAccessKey", "accessKey": "hush-hush"}}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "export"),
    [
        ({"azure": [AZURE]}, "abfss://exports@acme.dfs.core.windows.net/daily"),
        ({"azure": [{**AZURE, "azureCloud": "gov"}]}, "abfss://exports@acme.dfs.core.usgovcloudapi.net/daily"),
        ({"azure": {"storage": [{**NEW_AZURE, "cloud": "AzureChinaCloud"}]}},
         "abfss://exports@acme.dfs.core.chinacloudapi.cn/daily"),
    ],
    ids=["legacy", "government", "new shape, China"],
)  # fmt: skip
def test_azure_entries_of_cloud_integration(tmp_path: Path, content: dict[str, Any], export: str) -> None:
    (tmp_path / "cloud-integration.json").write_text(json.dumps(content), encoding="utf-8")

    settings = load_settings(write(tmp_path, MINIMAL + "cloud_integration: cloud-integration.json\n"))

    assert settings is not None
    [store] = settings.cloud_stores
    assert (str(store.key), store.export) == ("azure/sub-1", export)
    assert store.account_key is not None
    assert store.account_key.get_secret_value() == "hush-hush"
    assert "hush-hush" not in repr(settings)


def test_a_google_key_is_kept_whole_and_secret(tmp_path: Path) -> None:
    key = {"type": "service_account", "private_key": "hush-hush"}
    content = {"gcp": [{"projectID": "acme", "billingDataDataset": "d.t", "key": key, "export": "gs://acme/export"}]}
    (tmp_path / "cloud-integration.json").write_text(json.dumps(content), encoding="utf-8")

    settings = load_settings(write(tmp_path, MINIMAL + "cloud_integration: cloud-integration.json\n"))

    assert settings is not None
    [store] = settings.cloud_stores
    assert store.service_account_key is not None
    assert json.loads(store.service_account_key.get_secret_value()) == key
    assert "hush-hush" not in repr(settings)


def test_query_services_of_cloud_integration_are_understood_as_they_are(tmp_path: Path) -> None:
    athena = {"athenaBucketName": "s3://results", "athenaRegion": "eu-west-1", "athenaDatabase": "athenacurcfn_x",
              "athenaTable": "x", "athenaWorkgroup": "Primary", "projectID": "297945954695"}  # fmt: skip
    content = {"aws": [athena], "gcp": [{"projectID": "acme", "billingDataDataset": "billing.export_v1", "key": {}}]}
    (tmp_path / "cloud-integration.json").write_text(json.dumps(content), encoding="utf-8")

    settings = load_settings(write(tmp_path, MINIMAL + "cloud_integration: cloud-integration.json\n"))

    assert settings is not None
    aws, gcp = settings.cloud_stores
    assert (aws.table, aws.results, aws.workgroup, aws.export) == ("athenacurcfn_x.x", "s3://results", "Primary", None)
    assert (gcp.table, gcp.export, gcp.service_account_key) == ("billing.export_v1", None, None)


def test_half_a_table_leaves_only_its_store_incomplete(tmp_path: Path) -> None:
    athena = {"athenaBucketName": "s3://results", "athenaTable": "x", "projectID": "297945954695"}
    content = {"aws": [athena], "gcp": [{"projectID": "acme", "billingDataDataset": "billing", "key": {}}]}
    (tmp_path / "cloud-integration.json").write_text(json.dumps(content), encoding="utf-8")

    settings = load_settings(write(tmp_path, MINIMAL + "cloud_integration: cloud-integration.json\n"))

    assert settings is not None
    assert [missing_fields(store) for store in settings.cloud_stores] == [["export"], ["export"]]


def test_what_is_off_everywhere_is_off_for_each_and_an_export_needs_allocations(tmp_path: Path) -> None:
    settings = load_settings(
        write(
            tmp_path,
            MINIMAL + "off: [reconciliation]\n"
            "cloud_stores:\n  - {provider: aws, id: '111122223333', off: [cloud_assets]}\n"
            "  - {provider: aws, id: '444455556666'}\n"
            "clusters:\n  - {name: one, endpoint: 'http://one:9090', off: [allocations]}\n"
            "  - {name: two, endpoint: 'http://two:9090', off: [export]}\n",
        )
    )

    assert settings is not None
    first, second = settings.cloud_stores
    one, two = settings.clusters
    assert not settings.runs("reconciliation")
    assert [settings.runs("cloud_assets", store) for store in (first, second)] == [False, True]
    assert [settings.reads_bill_of(store) for store in (first, second)] == [False, True]
    assert [settings.runs("allocations", cluster) for cluster in (one, two)] == [False, True]
    assert [settings.runs("export", cluster) for cluster in (one, two)] == [False, False]


def test_a_switch_that_a_bill_does_not_have_is_refused(tmp_path: Path) -> None:
    text = MINIMAL + "cloud_stores:\n  - {provider: aws, id: '111122223333', off: [allocations]}\n"

    with pytest.raises(SettingsError, match=r"cloud_stores\[0\].off\[0\]: .*'cloud_assets' or 'reconciliation'"):
        load_settings(write(tmp_path, text))


def test_windows_are_meant_by_a_fixed_offset_with_its_minutes(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, MINIMAL + "utc_offset: +05:30\n"))

    assert settings is not None
    assert settings.zone.utcoffset(None) == timedelta(hours=5, minutes=30)
    with pytest.raises(SettingsError, match="utc_offset: "):
        load_settings(write(tmp_path, MINIMAL + "utc_offset: Europe/Berlin\n"))
