"""Terraform against a server of this machine: a copy of `deploy/terraform`, told where the server is."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines_tests.servers import COMPONENTS

MODULE = Path(__file__).parents[2] / "deploy/terraform"


@dataclass(frozen=True)
class Terraform:
    """One configuration and its state, in a folder of the test's own."""

    folder: Path
    endpoint: str

    def __call__(self, command: str, *options: str, **variables: Any) -> str:
        """Run a command that must succeed; gives what it printed."""
        done = self._run(command, options, variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refusal(self, command: str, *options: str, **variables: Any) -> str:
        """Run a command that must fail; gives its errors."""
        done = self._run(command, options, variables)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def _run(
        self, command: str, options: tuple[str, ...], variables: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        chosen = {f"TF_VAR_{name}": _as_text(value) for name, value in variables.items()}
        environment = {
            **os.environ,
            **chosen,
            "TF_CLI_CONFIG_FILE": str(COMPONENTS / "terraform.rc"),
            "CHECKPOINT_DISABLE": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
        }
        return subprocess.run(
            ["terraform", command, "-no-color", *options],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def outputs(self) -> dict[str, Any]:
        return {name: output["value"] for name, output in json.loads(self("output", "-json")).items()}


def terraform_in(folder: Path, endpoint: str, module: str = ".") -> Terraform:
    """Copy a module into `folder` and initialise it."""
    if not shutil.which("terraform") or not (COMPONENTS / "terraform.rc").exists():
        pytest.skip("terraform and its AWS provider are not on this machine: install terraform, then `make components`")
    for file in (MODULE / module).glob("*.*"):
        shutil.copy(file, folder)
    # A bucket is a host name at AWS; here there is one host. What is merged into the module is this alone.
    (folder / "server_override.tf").write_text('provider "aws" {\n  s3_use_path_style = true\n}\n', encoding="utf-8")
    terraform = Terraform(folder, endpoint)
    terraform("init", "-input=false")
    return terraform


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
