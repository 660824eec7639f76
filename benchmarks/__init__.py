"""Benchmarks: what the pipeline's work costs, as ratios to what DuckDB itself needs to copy the same lines.

Every piece of work runs in a fresh process. A pair takes turns, and the best of each side counts: a busy machine
slows both sides, and ratios of CPU time survive it. Data is made once, under `.bench/`, and is the same everywhere.
"""
