"""A mail volume that fails as NFS may: errors, stale handles, no room, slow syncs, short hangs."""

import errno
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e import faults, volumes
from tests.e2e.campaign import ACCOUNTS, Run, doors, finish, prepare, under_load
from tests.e2e.load import SENDER
from tests.e2e.stack import Stack, wait_until
from tests.e2e.volumes import FaultyVolume

pytestmark = pytest.mark.e2e

ALL = ("write", "sync", "read")
HOLD = 3.0  # seconds


@pytest.fixture(scope="module")
def volume() -> Iterator[FaultyVolume]:
    """Mount a file system that fails on demand."""
    with volumes.faulty() as volume:
        yield volume


@pytest.fixture(scope="module")
def run(volume: FaultyVolume) -> Iterator[Run]:
    """Start a stack on it, and the load."""
    replicas = {"auth": 1, "delivery": 2, "imap": 2, "pop3": 1}
    with Stack(replicas=replicas, mail=volume.options) as stack:
        for address in (SENDER, *ACCOUNTS):
            stack.add_account(address)
        where = doors(stack)
        prepare(where)
        with under_load({node.name: node for node in stack.services()}, where) as run:
            yield run


@pytest.mark.parametrize(
    ("name", "operations", "number", "rate", "delay"),
    [
        ("EIO on writes", ("write",), errno.EIO, 0.5, 0.0),
        ("EIO on syncs", ("sync",), errno.EIO, 0.5, 0.0),
        ("EIO everywhere", ALL, errno.EIO, 0.3, 0.0),
        ("EIO on reads", ("read",), errno.EIO, 1.0, 0.0),
        ("ESTALE", ("read", "write"), errno.ESTALE, 0.3, 0.0),
        ("ENOSPC", ("write",), errno.ENOSPC, 1.0, 0.0),
        ("EDQUOT", ("write", "sync"), errno.EDQUOT, 0.5, 0.0),
        ("slow syncs", ("sync",), 0, 1.0, 0.7),
        ("hang", ALL, 0, 1.0, 2.0),
        ("late errors", ("sync",), errno.EIO, 0.5, 0.5),
    ],
)
def test_fault(
    run: Run,
    volume: FaultyVolume,
    name: str,
    operations: tuple[str, ...],
    number: int,
    rate: float,
    delay: float,
) -> None:
    before = len(run.promises.broken)
    phase = run.promises.begin(name, "mail volume")
    begun = time.monotonic()
    volume.fail(operations, number, rate=rate, delay=delay)
    threading.Event().wait(HOLD)
    volume.heal()
    ended = time.monotonic()
    phase.held = ended - begun
    phase.recovery, phase.slowest = run.promises.wait_for_all(run.load.kinds, ended, faults.HANG)
    for node in run.nodes.values():
        wait_until(f"{node.name} is well", lambda node=node: faults.well(node), faults.HANG)  # type: ignore[misc]  # bound now
    phase.back = time.monotonic() - ended
    print(f"\n{' '.join(phase.cells())}")
    assert run.promises.broken[before:] == []
    assert phase.recovery <= faults.TOLERATED


def test_every_promise_was_kept(run: Run) -> None:
    """The last of this module."""
    finish(run, "e2e-volume-faults.md")
