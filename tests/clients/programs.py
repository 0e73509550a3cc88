"""Programs of others: found or skipped by name, run with their output in the failure."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence

import pytest


def need(name: str) -> str:
    """Return the path of a program, or skip the test with its name as the reason."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 60,
) -> bytes:
    """Run to a good end and return stdout."""
    done = subprocess.run(
        command, env=env, input=stdin, capture_output=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, (
        f"{command[0]} ended with {done.returncode}:\n"
        f"{done.stdout.decode(errors='replace')[-3000:]}\n"
        f"{done.stderr.decode(errors='replace')[-3000:]}"
    )
    return done.stdout
