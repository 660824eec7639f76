"""Serve: the HTTP API and the dashboard on one port."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from kubecost_pipelines.settings import load_settings


def run_server(host: str, port: int, audit_log: Path | None) -> None:
    """Serve until somebody stops it."""
    import uvicorn  # noqa: PLC0415 - only this command needs it

    from kubecost_pipelines.api.app import build_app  # noqa: PLC0415 - as above
    from kubecost_pipelines.api.guard import TOKEN_VARIABLES, TokenError, is_loopback, read_tokens  # noqa: PLC0415

    settings = load_settings()
    if settings is None:
        sys.exit(
            "Nothing to serve: there is no kubecost-pipelines.yaml here, and KUBECOST_PIPELINES_CONFIG names none."
        )
    try:
        tokens = read_tokens()
    except TokenError as error:
        sys.exit(str(error))
    if not tokens and not is_loopback(host):
        sys.exit(
            f"{host} can be reached from elsewhere, and no token protects it: set "
            f"{' or '.join(TOKEN_VARIABLES.values())} (or the same with _FILE), or listen on 127.0.0.1."
        )
    _write_logs(audit_log)
    from kubecost_pipelines.dashboard.routes import mount_dashboard, warm_up  # noqa: PLC0415 - as above

    app = build_app(settings, tokens=tokens, is_limited=not is_loopback(host), on_start=warm_up)
    mount_dashboard(app)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False)


class _JsonLines(logging.Formatter):
    """One JSON object a line; a message that is one already is merged into it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        text = record.getMessage()
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        line |= said if isinstance(said, dict) else {"message": text}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _write_logs(audit_log: Path | None) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("kubecost_pipelines", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)
    if audit_log:
        file = logging.FileHandler(audit_log, encoding="utf-8")
        file.setFormatter(_JsonLines())
        logging.getLogger("kubecost_pipelines.audit").addHandler(file)
