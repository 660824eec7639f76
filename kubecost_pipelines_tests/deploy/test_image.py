"""`deploy/Dockerfile`. No engine is here to build it: it is linted, and what it copies and installs is looked at."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"


def instructions(name: str) -> list[list[str]]:
    """Return the words of each instruction of that name."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split()[1:] for line in text.splitlines() if line.startswith(f"{name} ")]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if binary is None:
        pytest.skip("hadolint is not here: make setup")
    return subprocess.run([binary, str(path)], capture_output=True, text=True, check=False)


def test_the_linter_has_nothing_to_complain_of(tmp_path: Path) -> None:
    found = hadolint(DOCKERFILE)
    assert (found.returncode, found.stdout) == (0, "")

    wrong = tmp_path / "Dockerfile"
    wrong.write_text(
        DOCKERFILE.read_text(encoding="utf-8").replace("python:3.11-slim-bookworm", "python"), encoding="utf-8"
    )
    assert "DL3006" in hadolint(wrong).stdout


def test_what_it_copies_is_there_and_sent_to_the_engine() -> None:
    sent = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()]
    copied = [
        source
        for words in instructions("COPY")
        if not words[0].startswith("--from")
        for source in words[:-1]
        if not source.startswith("--")
    ]

    assert len(copied) == 7
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in sent, source


def test_it_installs_by_our_pins_what_production_needs() -> None:
    [install] = [" ".join(words) for words in instructions("RUN") if "install" in words and "venv" in words]

    assert "--constraint constraints.txt '.[postgres,k8s]'" in install
    # A package that is not pinned would be another one in each build.
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert {"dagster", "dagster-postgres", "dagster-k8s", "psycopg2-binary", "kubernetes"} <= pinned


def test_it_runs_as_nobody_in_particular() -> None:
    *_, user = instructions("USER")

    assert user == ["10001:10001"]


def test_its_first_command_is_the_code_servers() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
    [command] = instructions("CMD")

    assert yaml.safe_load(" ".join(command)) == compose["services"]["code"]["command"]
