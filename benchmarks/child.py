"""Child: one work in a fresh process. Prints the CPU seconds of the work and the peak of the process as JSON."""

import json
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import ibis

from benchmarks import works
from kubecost_pipelines.core.tables import CLOUD_BILLING
from kubecost_pipelines.lake import open_engine

KIBIBYTES_PER_UNIT = 1 / 1024 if sys.platform == "darwin" else 1


def main() -> None:
    """Take a work's name, a number of lines, the folder of the data and whether to prepare only."""
    name, lines, folder, prepare_only = sys.argv[1:]
    warnings.simplefilter("ignore", DeprecationWarning)
    bench = works.Bench(Path(folder), int(lines))
    bench.scratch.mkdir(parents=True)
    _load_libraries(bench.scratch)
    try:
        work = getattr(works, name)(bench)
        if prepare_only != "prepare":
            before = time.process_time()
            # A work that runs in a process of its own says itself what that took.
            report = work() or {
                "cpu_seconds": time.process_time() - before,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTES_PER_UNIT / 1000,
            }
            sys.stdout.write(json.dumps(report))
    finally:
        shutil.rmtree(bench.scratch)


def _load_libraries(scratch: Path) -> None:
    """Let Ibis, sqlglot and Arrow load and build what they do when first used: both sides of a pair do."""
    with open_engine(works.MEMORY_LIMIT, scratch) as engine:
        numbers = ibis.range(3).unnest().name("n").as_table()
        CLOUD_BILLING.schema()
        engine.create_table("warm", numbers.mutate(m=numbers.n + 1), temp=True).to_pyarrow()


if __name__ == "__main__":
    main()
