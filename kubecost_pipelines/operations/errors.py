"""What can go wrong with an operation. Every message ends with the cure; a surface maps the kinds to its codes."""

from typing import ClassVar


class OperationError(Exception):
    """An operation was refused or failed. The command line exits with `exit_code`."""

    exit_code: ClassVar[int] = 1


class UnknownTargetError(OperationError):
    """There is no such bill or cluster, or the process is switched off for it."""

    exit_code = 3


class IllegalWindowError(OperationError):
    """The window does not parse, or no day of it can be repaired."""

    exit_code = 4


class NothingToExplainError(OperationError):
    """There is no such day, cluster or workload. The message says which, and the cure."""

    exit_code = 3


class NoDagsterError(OperationError):
    """No Dagster answers, or it answers with something else than GraphQL."""

    exit_code = 5


class AlreadyRunningError(OperationError):
    """A backfill that this one may not cancel is at work on the same days."""

    exit_code = 6


class BackfillFailedError(OperationError):
    """The backfill ended, and some of its days were not written."""

    exit_code = 7
