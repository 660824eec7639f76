"""Lake: our Parquet, one object per table, key and day, at a fixed path, replaced whole."""

from kubecost_pipelines.lake.engine import Engine, open_engine, quoted
from kubecost_pipelines.lake.lake import Lake, LakeError, Staged, Written

__all__ = ["Engine", "Lake", "LakeError", "Staged", "Written", "open_engine", "quoted"]
