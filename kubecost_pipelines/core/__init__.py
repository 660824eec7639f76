"""What costs mean: pure functions over tables.

No I/O, no clock, no Dagster. Anything that reads, writes or waits belongs to an adapter.
"""
