"""The export of one day in a process of its own: from the cluster's answer to the file in the bucket.

Prints the CPU seconds of the whole process, imports and all, its peak, and the size of the file.
"""

import json
import resource
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.defs.exporting import leave_pandas_out, rows_of_cluster
from kubecost_pipelines.settings import ClusterSettings, ExportSettings
from kubecost_pipelines.sinks import export_day, open_bucket

KIBIBYTES_PER_UNIT = 1 / 1024 if sys.platform == "darwin" else 1


def main() -> None:
    """Take the cluster's endpoint, the bucket's (a URL or a folder), the layout and the day."""
    endpoint, target, layout, day = sys.argv[1:]
    leave_pandas_out()
    cluster = ClusterSettings(
        name="prod-1",
        endpoint=endpoint,
        provider="aws",
        account="111122223333",
        region="us-east-1",
        flavour="kubecost",
        verify_totals=False,
    )
    identity = {"endpoint": target, "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}
    content = {"location": "s3://bench", "identity": identity, "layouts": [layout], "source": "estimates"}
    if not target.startswith("http"):
        content |= {"location": target, "identity": {}}
    export = ExportSettings.model_validate(content | {"labels": ["app", "team"]})
    with tempfile.TemporaryDirectory() as scratch:
        source = rows_of_cluster(ClusterClient(cluster), export, date.fromisoformat(day), Path(scratch))
        exported = export_day(source, date.fromisoformat(day), cluster, export, open_bucket(export), Path(scratch))
    report = {
        "cpu_seconds": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTES_PER_UNIT / 1000,
        "megabytes": sum(file.bytes for file in exported.files) / 1e6,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
