"""Cloud Connection Status: Kubecost's six statuses, and the one function that moves between them."""

from enum import StrEnum


class ConnectionStatus(StrEnum):
    """The documented words."""

    INITIAL_STATUS = "INITIAL_STATUS"
    MISSING_CONFIGURATION = "MISSING_CONFIGURATION"
    INCOMPLETE_CONFIGURATION = "INCOMPLETE_CONFIGURATION"
    FAILED_CONNECTION = "FAILED_CONNECTION"
    MISSING_DATA = "MISSING_DATA"
    SUCCESSFUL_CONNECTION = "SUCCESSFUL_CONNECTION"


class ConnectionEvent(StrEnum):
    """What a check of a store found."""

    NO_CONFIGURATION = "no configuration"
    MISSING_FIELDS = "missing fields"
    ERROR = "error"
    EMPTY = "no data"
    DATA = "data"


_STATUS_AFTER = {
    ConnectionEvent.NO_CONFIGURATION: ConnectionStatus.MISSING_CONFIGURATION,
    ConnectionEvent.MISSING_FIELDS: ConnectionStatus.INCOMPLETE_CONFIGURATION,
    ConnectionEvent.ERROR: ConnectionStatus.FAILED_CONNECTION,
    ConnectionEvent.EMPTY: ConnectionStatus.MISSING_DATA,
    ConnectionEvent.DATA: ConnectionStatus.SUCCESSFUL_CONNECTION,
}

CURES = {
    ConnectionStatus.INITIAL_STATUS: "Materialise connection_status.",
    ConnectionStatus.MISSING_CONFIGURATION: "Add the bill to `cloud_stores`, or name your `cloud_integration` file.",
    ConnectionStatus.INCOMPLETE_CONFIGURATION: "Add the missing fields.",
    ConnectionStatus.FAILED_CONNECTION: "Correct the value that the message names, or the reader's permissions.",
    ConnectionStatus.MISSING_DATA: "Wait: an export fills within 48 hours of its making. After that, check `export`.",
    ConnectionStatus.SUCCESSFUL_CONNECTION: "",
}


def next_status(current: ConnectionStatus, event: ConnectionEvent) -> ConnectionStatus:
    """Return the status after a check.

    An empty answer does not replace SUCCESSFUL_CONNECTION: it says only that this question found nothing. Errors
    replace anything, and nothing returns to INITIAL_STATUS.
    """
    if event is ConnectionEvent.EMPTY and current is ConnectionStatus.SUCCESSFUL_CONNECTION:
        return current
    return _STATUS_AFTER[event]
