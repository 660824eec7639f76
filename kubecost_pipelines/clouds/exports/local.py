"""Exports in a folder of this machine."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.clouds.exports import ExportFile


class LocalExport:
    """See `Export`."""

    def __init__(self, uri: str) -> None:
        self.uri, self.path = uri, unquote(urlsplit(uri).path).rstrip("/")

    def list_folder(self, folder: str, *, deep: bool = False) -> list[ExportFile]:
        root = Path(folder)
        if not root.is_dir():
            return []
        return [_file(path) for path in sorted(root.rglob("*") if deep else root.iterdir()) if path.is_file()]

    def list_folders(self, folder: str) -> list[str]:
        root = Path(folder)
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []

    def read_start(self, path: str, limit: int = 1 << 26) -> bytes:
        with Path(path).open("rb") as file:
            return file.read(limit)

    def fetch(self, path: str, scratch: Path) -> str:  # noqa: ARG002 - nothing to copy
        return path

    def check_root(self) -> None:
        if not Path(self.path).is_dir():
            raise BillError(f"{self.uri}: there is no folder {self.path}. Check the address in `export`.")


def _file(path: Path) -> ExportFile:
    found = path.stat()
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return ExportFile(str(path), found.st_size, f"{found.st_size}-{found.st_mtime_ns}", modified)
