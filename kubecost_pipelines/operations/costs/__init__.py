"""Costs: questions about allocations, assets and cloud costs, answered from the serving store."""
