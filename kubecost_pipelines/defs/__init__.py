"""The Dagster graph, thin: an asset body reads, transforms, writes and reports.

One factory per asset, called once per ProviderKey and per cluster. Meaning is in `core`, machines are in the adapters.
"""
