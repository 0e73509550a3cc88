"""An earlier release of this program, from the repository's history."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.process import ROOT

OLD: Final = "47d69ff"
"""The commit of release 0.1.0."""


def unpack(target: Path, commit: str = OLD) -> Path:
    """Put the tree of a release into `target`; skips where there is no history of it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the history of the repository is not here")
    found = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if found.returncode:
        pytest.skip(f"the history has no commit {commit} (a shallow clone)")
    archive = target.with_suffix(".tar")
    target.mkdir(parents=True)
    subprocess.run(["git", "archive", "-o", archive, commit], cwd=ROOT, check=True)
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    archive.unlink()
    return target
