"""Serve: the HTTP API and the dashboard on one port."""

import sys

from kubecost_pipelines.settings import load_settings


def run_server(host: str, port: int) -> None:
    """Serve until somebody stops it."""
    import uvicorn  # noqa: PLC0415 - only this command needs it

    from kubecost_pipelines.api.app import build_app  # noqa: PLC0415 - as above

    settings = load_settings()
    if settings is None:
        sys.exit(
            "There is no kubecost-pipelines.yaml here, and KUBECOST_PIPELINES_CONFIG names none: nothing to serve."
        )
    uvicorn.run(build_app(settings), host=host, port=port, log_level="warning")
