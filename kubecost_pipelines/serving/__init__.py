"""Serving: the lake in one DuckDB file, so that questions are answered at once."""
