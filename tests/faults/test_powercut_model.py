"""The disk model itself: it must pass a right delivery and catch each way of doing it wrong."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import powercut

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="the power-cut tests need strace"
)

PROGRAM = """
import os, socket, sys
root, variant = sys.argv[1:]
here, there = socket.socketpair()
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
for n in range(3):
    tmp, new = f"{root}/tmp/{n}", f"{root}/new/{n}"
    fd = os.open(new if variant == "direct" else tmp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(fd, b"half ")
    os.write(fd, b"whole\\n")
    if variant != "no file fsync":
        os.fsync(fd)
    os.close(fd)
    if variant == "link":
        os.link(tmp, new)
    elif variant != "direct":
        os.rename(tmp, new)
    if variant == "early answer":
        here.send(b"ACK %d" % n)
    if variant != "no directory fsync":
        sync(f"{root}/new")
    if variant != "early answer":
        here.send(b"ACK %d" % n)
    if variant == "link":
        os.unlink(tmp)
"""


def broken_promises(root: Path, variant: str) -> set[str]:
    trace = root / "trace"
    for name in ("tmp", "new"):
        (root / name).mkdir()
    words = [*powercut.STRACE, str(trace), sys.executable, "-c", PROGRAM, str(root), variant]
    subprocess.run(words, check=True)
    disk = powercut.Disk(str(root))
    acked: list[str] = []
    found = set()
    for call in powercut.calls(trace.read_text(errors="surrogateescape")):
        disk.apply(call)
        text = powercut.text_of(call.args)
        if call.name == "sendto" and text.startswith(b"ACK"):
            acked.append(text[4:].decode())
        left = disk.lost()
        if any(left.get(f"{root}/new/{n}") != b"half whole\n" for n in acked):
            found.add("lost")
        if any("/new/" in k and v != b"half whole\n" for k, v in disk.torn().items()):
            found.add("torn")
    assert len(acked) == 3
    return found


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("rename", set()),
        ("link", set()),
        ("no file fsync", {"lost", "torn"}),
        ("no directory fsync", {"lost"}),
        ("early answer", {"lost"}),
        ("direct", {"torn"}),
    ],
)
def test_the_model_tells_right_from_wrong(tmp_path: Path, variant: str, expected: set[str]) -> None:
    assert broken_promises(tmp_path, variant) == expected
