"""Clusters: what one Kubernetes cluster believes it costs, asked of its Kubecost or OpenCost API.

A client writes one day of one table to a staging file: whole, or not at all. It never trusts a 200.
"""

from kubecost_pipelines.clusters.client import ClusterClient, FetchedDay
from kubecost_pipelines.clusters.errors import ClusterError, EmptyDayError
from kubecost_pipelines.clusters.flavours import FLAVOURS, Flavour

__all__ = ["FLAVOURS", "ClusterClient", "ClusterError", "EmptyDayError", "FetchedDay", "Flavour"]
