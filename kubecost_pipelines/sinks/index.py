"""Index: the manifests of a cluster's exported files, kept beside the lake so that no file need be asked one by one.

It is a memory, not the truth: an entry counts only while the listing shows the same tag, and any other file is asked
again. Two writers at once can only make it forget.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from kubecost_pipelines.settings.locations import Location
from kubecost_pipelines.sinks.buckets import Bucket, Listed
from kubecost_pipelines.sinks.errors import ExportError
from kubecost_pipelines.sinks.exporter import ExportedDay
from kubecost_pipelines.sinks.manifest import Manifest


@dataclass
class ExportIndex:
    """What is known of one cluster's files."""

    lake: Location
    cluster: str
    _entries: dict[str, Any] = field(default_factory=dict)
    _is_changed: bool = False

    @classmethod
    def load(cls, lake: Location, cluster: str) -> "ExportIndex":
        """Read it; an index that is missing or broken is empty."""
        index = cls(lake, cluster)
        try:
            with lake.filesystem.open_input_stream(index._path) as source:
                index._entries = json.loads(source.read())
        except (FileNotFoundError, ValueError):
            index._entries = {}
        return index

    def manifests(self, bucket: Bucket, files: Mapping[str, Listed]) -> dict[str, Manifest | ExportError | None]:
        """Return what each file says of itself, or why it cannot; asks the bucket for those that have changed since."""
        found: dict[str, Manifest | ExportError | None] = {}
        for key, listed in files.items():
            entry = self._entries.get(bucket.uri(key))
            if not entry or entry["tag"] != listed.tag:
                try:
                    manifest = bucket.describe(key)
                except ExportError as error:
                    found[key] = error
                    continue
                entry = {"tag": listed.tag, "metadata": manifest.as_metadata() if manifest else {}}
                self._remember(bucket.uri(key), entry)
            found[key] = Manifest.from_metadata(entry["metadata"])
        return found

    def add(self, exported: ExportedDay) -> None:
        """Take down what was exported."""
        for file in exported.files:
            self._remember(file.uri, {"tag": file.tag, "metadata": file.manifest.as_metadata()})

    def _remember(self, uri: str, entry: Mapping[str, Any]) -> None:
        self._entries[uri] = entry
        self._is_changed = True

    def save(self) -> None:
        """Write it, in one step, unless it says what it said."""
        if not self._is_changed:
            return
        content = json.dumps(self._entries, indent=0, sort_keys=True).encode()
        if not self.lake.is_local:
            with self.lake.filesystem.open_output_stream(self._path) as sink:
                sink.write(content)
            return
        target = Path(self._path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{uuid4().hex}.tmp"
        temporary.write_bytes(content)
        temporary.replace(target)

    @property
    def _path(self) -> str:
        return f"{self.lake.path}/export_index/{self.cluster}.json"
