"""The same lake on an object store."""

from pathlib import Path

import pytest

from kubecost_pipelines.lake import Engine, Lake
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.lake.test_lake import MONDAY, TABLE, TUESDAY, contents, things
from kubecost_pipelines_tests.s3 import S3Server


def test_days_are_written_replaced_and_read_back(
    s3: S3Server, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
    }.items():
        monkeypatch.setenv(name, value)
    s3.client().create_bucket(Bucket="the-lake")
    lake = Lake(locate("s3://the-lake/costs"), tmp_path)

    lake.publish(lake.stage(TABLE, things((MONDAY, "a", "1"), (TUESDAY, "b", "2")), engine), ["k"], [MONDAY, TUESDAY])
    lake.publish(lake.stage(TABLE, things((MONDAY, "c", "3")), engine), ["k"], [MONDAY])

    assert [(day, name) for day, name, _ in contents(lake, engine, MONDAY, TUESDAY)] == [(MONDAY, "c"), (TUESDAY, "b")]
    known = lake.describe(TABLE, ["k"], MONDAY)
    assert known is not None
    assert known.sums == {"cost": 3}
    keys = [item["Key"] for item in s3.client().list_objects_v2(Bucket="the-lake")["Contents"]]
    assert keys == [f"costs/things/k/date={day}/data.parquet" for day in (MONDAY, TUESDAY)]
    assert not list(tmp_path.glob("*.parquet")), "the upload's temporary file stays behind"
