"""The dashboard's built output: from these sources, small, and loading nothing from elsewhere."""

import gzip
import hashlib
import re
from pathlib import Path

from kubecost_pipelines.dashboard import SOURCES, STATIC

COMPRESSED_BYTES = 400_000


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "node_modules" not in path.parts)


def test_the_output_was_built_from_the_sources() -> None:
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(SOURCES).as_posix(), path) for path in files(SOURCES)):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")

    built = (STATIC / "sources.sha256").read_text(encoding="utf-8").strip()

    assert built == digest.hexdigest(), "the dashboard's sources have changed: make dashboard"


def test_everything_together_is_small() -> None:
    loaded = [path for path in files(STATIC) if path.suffix not in {".md", ".sha256"}]

    size = sum(len(gzip.compress(path.read_bytes(), 6)) for path in loaded)

    assert len(loaded) > 3
    assert size <= COMPRESSED_BYTES


def test_nothing_is_loaded_from_elsewhere() -> None:
    loads = re.compile(r"""(?:src|href)=["']https?:|url\(["']?https?:|import\(["'`]https?:|fetch\(["'`]https?:""")

    found = {
        path.name: loads.findall(path.read_text(encoding="utf-8"))
        for path in files(STATIC)
        if path.suffix in {".html", ".css", ".js"}
    }

    assert not any(found.values()), found


def test_what_is_bundled_comes_with_its_licenses() -> None:
    licenses = (STATIC / "licenses.md").read_text(encoding="utf-8")

    assert all(name in licenses for name in ("preact", "@observablehq/plot", "d3-scale", "Inter"))
