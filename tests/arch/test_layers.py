"""The house keeps its layers, its file sizes and its words."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("libs/restante/rpc/auth/", "libs/restante/rpc/admin/", "libs/restante/rpc/self/")


def tracked(*patterns: str) -> list[Path]:
    """Return the project's own files (generated ones are left out)."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [
        ROOT / name
        for name in names
        if name and not name.startswith(GENERATED) and (ROOT / name).exists()
    ]


def test_imports_go_only_downwards() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_hold_one_idea() -> None:
    """A room over 600 lines has grown a second idea: split it."""
    long = {}
    for path in tracked("*.py"):
        name = str(path.relative_to(ROOT))
        lines = path.read_text().count("\n")
        if lines > 600:
            long[name] = lines
    assert not long


def test_every_ignore_has_a_reason() -> None:
    bare = re.compile(r"#\s*(?:noqa|type: ignore)(?::\s*\w+(?:,\s*\w+)*|\[[\w,\- ]+\])?\s*$")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("libs/*.py", "services/*.py")
        for number, line in enumerate(path.read_text().split("\n"), 1)
        if bare.search(line)
    ]
    assert not found


def test_no_unfinished_words_in_the_code() -> None:
    words = re.compile(r"\b(?:TODO|FIXME|XXX)\b|NotImplementedError")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("libs/*.py", "services/*.py", "Makefile", ".ci/run")
        for number, line in enumerate(path.read_text().split("\n"), 1)
        if words.search(line)
    ]
    assert not found
