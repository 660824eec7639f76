"""Exports: what the lake's allocations look like to the readers of a bucket: rows, keys and Glue's columns."""
