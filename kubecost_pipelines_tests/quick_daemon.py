"""Dagster's daemon as it is, but for looking at backfills every second instead of every half a minute."""

import sys

import dagster._daemon.controller as controller
from dagster._daemon.cli import create_dagster_daemon_cli

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
    sys.argv[0] = "dagster-daemon"
    create_dagster_daemon_cli()()
