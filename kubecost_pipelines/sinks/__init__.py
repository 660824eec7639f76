"""Sinks: what gets our results: a bucket or folder of Parquet, and the Glue tables through which Athena reads it.

A file is there whole or not at all, and says of itself what it holds.
"""

from kubecost_pipelines.sinks.buckets import Bucket, open_bucket
from kubecost_pipelines.sinks.errors import ExportError, in_file_words
from kubecost_pipelines.sinks.exporter import ExportedDay, ExportedFile, SourceRows, export_day
from kubecost_pipelines.sinks.glue import GlueCatalog, Registered
from kubecost_pipelines.sinks.index import ExportIndex
from kubecost_pipelines.sinks.manifest import Manifest, agree

__all__ = [
    "Bucket",
    "ExportError",
    "ExportIndex",
    "ExportedDay",
    "ExportedFile",
    "GlueCatalog",
    "Manifest",
    "Registered",
    "SourceRows",
    "agree",
    "export_day",
    "in_file_words",
    "open_bucket",
]
