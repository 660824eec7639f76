"""The demo as `make demo` makes it, once for all tests that look at it."""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).parent / "kubecost-pipelines"


@dataclass(frozen=True)
class MadeDemo:
    """Where the demo lies, and what the command printed."""

    folder: Path
    printed: str


def environment() -> dict[str, str]:
    """Return the environment of a user without settings."""
    ours = {name: value for name, value in os.environ.items() if name != "KUBECOST_PIPELINES_CONFIG"}
    return {**ours, "DAGSTER_DISABLE_TELEMETRY": "yes"}


def make_demo(folder: Path, days: int) -> str:
    """Make the demo of so many days; return what is printed."""
    done = subprocess.run(
        [COMMAND, "demo", str(folder), "--days", str(days)],
        cwd=folder.parent,
        env={**environment(), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made_once(parent: Path) -> MadeDemo:
    """Return the demo of five days below `parent`; the first process that asks makes it, the others wait for it."""
    folder, printed = parent / "demo", parent / "demo.txt"
    with (parent / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            printed.write_text(make_demo(folder, days=5), encoding="utf-8")
    return MadeDemo(folder, printed.read_text(encoding="utf-8"))
