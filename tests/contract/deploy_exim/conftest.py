"""Real auth and delivery, one of each for all tests of a worker; a folder that exim may enter."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.deploy_exim.harness import Exim, Outside, need_exim
from tests.contract.deploy_exim.stack import Stack
from tests.support.certificates import Authority

MakeExim = Callable[..., Exim]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder below /tmp: pytest's own are closed to exim's user."""
    need_exim()
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def authority(place: Path) -> Authority:
    return Authority(place / "authority")


@pytest.fixture(scope="session")
def stack(place: Path) -> Iterator[Stack]:
    """Auth and delivery with some accounts; nobody stops them."""
    with Stack(place / "stack") as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
def folder(place: Path) -> Iterator[Path]:
    made = place / f"t{next(_numbers)}"
    made.mkdir()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def outside(folder: Path) -> Iterator[Outside]:
    exim = Outside(folder / "outside")
    try:
        exim.start()
        yield exim
    finally:
        exim.close()


@pytest.fixture
def make_exim(folder: Path, authority: Authority) -> Iterator[MakeExim]:
    """Return what makes an exim against a stack: make_exim(stack, EXIM_VERIFY="...")."""
    with ExitStack() as made:

        def make(
            stack: Stack | None = None, *, start: bool = True, changes: str = "", **extra: str
        ) -> Exim:
            environment = {**(stack.environment if stack else {}), **extra}
            exim = Exim(folder / f"mx{next(_numbers)}", environment, changes=changes)
            made.callback(exim.close)
            exim.use_certificate(*authority.issue("localhost", "127.0.0.1"))
            if start:
                exim.start()
            return exim

        yield make
