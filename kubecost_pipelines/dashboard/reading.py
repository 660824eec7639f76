"""Reading: what the dashboard's addresses say."""

from datetime import datetime

from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.core.window_parser import parse_window


def read_window(text: str, now: datetime) -> Window:
    """Return the window; raises ApiError, 400, where it says none."""
    try:
        return parse_window(text, now)
    except ValueError as error:
        raise ApiError(400, str(error)) from None
