"""Real messages, where this machine has some."""

import os
from pathlib import Path

import pytest

PLACES = (
    os.environ.get("RESTANTE_TEST_MESSAGES", ""),
    str(Path(__file__).resolve().parents[3].parent / "shared/data/messages"),
)


@pytest.fixture(scope="session")
def real_messages() -> dict[str, bytes]:
    """Messages in wire form by file name; skips where there are none."""
    for place in filter(None, PLACES):
        files = sorted(Path(place).glob("*.eml"))
        if files:
            return {
                file.name: file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                for file in files
            }
    pytest.skip("no real messages: set RESTANTE_TEST_MESSAGES to a directory of *.eml")
