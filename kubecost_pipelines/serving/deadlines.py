"""Deadlines: one thread that interrupts the questions which take longer than they may.

A timer for each question would be a thread for each, which many small questions at once feel.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

PAUSE_SECONDS = 0.1


class Deadlines:
    """Watches running questions; its thread sleeps while there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[duckdb.DuckDBPyConnection, float] = {}
        self._has_some = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt the cursor once so many seconds have passed, `PAUSE_SECONDS` later at most.

        Raises:
            duckdb.InterruptException: from the cursor's own call, in the thread that asked.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
            self._ends[cursor] = time.monotonic() + seconds
            self._has_some.set()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[cursor]

    def _watch(self) -> None:
        while self._has_some.wait():
            time.sleep(PAUSE_SECONDS)
            with self._lock:
                now = time.monotonic()
                for cursor, end in self._ends.items():
                    if end < now:
                        cursor.interrupt()
                if not self._ends:
                    self._has_some.clear()
