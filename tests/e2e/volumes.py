"""Mail volumes that go wrong: a small one, and one on a file system that fails on demand."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.e2e import engine, images
from tests.support.process import ROOT

OWNER: Final = 5000  # uid and gid of the image


def small(megabytes: int) -> Mapping[str, str]:
    """Return the options of a volume that is soon full: a tmpfs."""
    options = f"size={megabytes}m,uid={OWNER},gid={OWNER},mode=0711"
    return {"type": "tmpfs", "device": "tmpfs", "o": options}


class FaultyVolume:
    """A folder behind `faultfs`; what is in it is in `source`, too."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.source, self.mountpoint = folder / "source", folder / "mail"
        self._process = process

    @property
    def options(self) -> Mapping[str, str]:
        """The options of a volume that is this folder."""
        return {"type": "none", "device": str(self.mountpoint), "o": "bind"}

    def fail(
        self, operations: Sequence[str], errno: int = 0, *, rate: float = 1.0, delay: float = 0.0
    ) -> None:
        """Let operations fail from now on; with an errno, or only late (seconds)."""
        order = {"operations": list(operations), "errno": errno, "rate": rate, "delay": delay}
        self._say(order)

    def heal(self) -> None:
        """End all faults."""
        self._say({})

    def _say(self, order: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()


@contextmanager
def faulty() -> Iterator[FaultyVolume]:
    """Mount one, or skip where that cannot be."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no /dev/fuse here")
    if os.geteuid() != 0:
        pytest.skip("a FUSE mount that containers may use needs root")
    folder = Path(tempfile.mkdtemp(prefix="restante-e2e-fuse-"))
    for name in ("source", "mail"):
        (folder / name).mkdir()
    os.chown(folder / "source", OWNER, OWNER)
    os.chmod(folder / "source", 0o711)
    program = (sys.executable, "-m", "tests.e2e.faultfs")
    process = subprocess.Popen(
        (*program, folder / "source", folder / "mail"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    volume = FaultyVolume(folder, process)
    try:
        assert process.stdout is not None
        if "mounted" not in process.stdout.readline():
            pytest.skip("FUSE does not work here")
        (folder / "source" / "probe").touch()
        _visible(folder / "mail")
        yield volume
    finally:
        process.communicate()  # the end of its stdin unmounts
        shutil.rmtree(folder, ignore_errors=True)


def _visible(path: Path) -> None:
    """Skip where the engine, in a mount namespace of its own, does not see the mount."""
    import docker.errors

    try:
        engine.client().containers.run(
            images.restante(),
            ["/mail/probe"],
            entrypoint=["test", "-e"],
            volumes={str(path): {"bind": "/mail", "mode": "ro"}},
            labels=engine.LABELS,
            remove=True,
        )
    except docker.errors.ContainerError:
        pytest.skip("the Docker engine does not see FUSE mounts of this machine")
