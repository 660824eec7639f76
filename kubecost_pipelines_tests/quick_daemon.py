"""Dagster's daemon as it is, but for looking at backfills every second instead of every half a minute.

And at the queue of runs every SECONDS_IN_QUEUE.
"""

import os
import sys

import dagster._daemon.controller as controller
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._daemon.cli import create_dagster_daemon_cli

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
    QueuedRunCoordinator.dequeue_interval_seconds = int(os.environ["SECONDS_IN_QUEUE"])  # type: ignore[method-assign, assignment]
    sys.argv[0] = "dagster-daemon"
    create_dagster_daemon_cli()()
