"""kubecost_pipelines: an open, reconciled Kubernetes cost pipeline on Dagster."""

__version__ = "0.1.0"
