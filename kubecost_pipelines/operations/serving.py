"""Serving: keeps the serving store in step with the lake while somebody asks it."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubecost_pipelines.serving.reader import QUERY_SECONDS, ServingReader, current_file, store_folder
from kubecost_pipelines.settings import Settings

if TYPE_CHECKING:
    from kubecost_pipelines.serving.store import Refreshed

LOG = logging.getLogger(__name__)


class Serving:
    """The serving store of one deployment: `reader` answers, a thread looks for changes of the lake.

    Args:
        settings: which lake, which labels.
        refresh_seconds: how often the lake is looked at; 0 leaves that to the asset `serving_store`.
        query_seconds: how long one question may take.
    """

    def __init__(
        self, settings: Settings, *, refresh_seconds: float = 30.0, query_seconds: float = QUERY_SECONDS
    ) -> None:
        self._lake_uri = settings.lake
        self._label_keys: Sequence[str] = settings.label_keys
        self._refresh_seconds = refresh_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.folder: Path = store_folder(settings.lake, settings.scratch)
        self.reader = ServingReader(self.folder, query_seconds=query_seconds)
        self.last_error = ""
        """Why the last look at the lake failed; empty when it did not."""

    def refresh(self) -> "Refreshed | None":
        """Bring the store in step with the lake now; None when it is."""
        # Arrow and Ibis take seconds to load; an old store answers meanwhile.
        from kubecost_pipelines.serving.store import refresh  # noqa: PLC0415
        from kubecost_pipelines.settings.locations import locate  # noqa: PLC0415

        return refresh(locate(self._lake_uri), self.folder, self._label_keys)

    @property
    def is_ready(self) -> bool:
        return current_file(self.folder) is not None

    def start(self) -> None:
        """Begin to look after the store; an old one answers meanwhile."""
        if self._refresh_seconds:
            self._thread = threading.Thread(target=self._watch, name="serving-store", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop looking, and let go of the file."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=60)
        self.reader.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                if done := self.refresh():
                    LOG.info("serving store: %d days replaced, now %s", done.days, done.path.name)
                self.last_error = ""
            except Exception as error:
                # A day being replaced right now, a bucket that does not answer: the old store goes on answering.
                self.last_error = str(error)
                LOG.error("serving store: not refreshed, the old one answers: %s", error)
            self._stop.wait(self._refresh_seconds)
