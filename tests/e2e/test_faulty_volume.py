"""A mail volume that fails as NFS may: errors, stale handles, no room, slow syncs, short hangs."""

import errno
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e import faults, volumes
from tests.e2e.load import Load, read_everything
from tests.e2e.promises import Promises
from tests.e2e.stack import Stack, wait_until
from tests.e2e.test_faults import ACCOUNTS, REPORT, doors, prepare
from tests.e2e.volumes import FaultyVolume

pytestmark = pytest.mark.e2e

ALL = ("write", "sync", "read")
HOLD = 3.0  # seconds


class Run:
    """A stack on a faulty volume under load."""

    def __init__(self, stack: Stack, volume: FaultyVolume, load: Load) -> None:
        self.stack, self.volume, self.load = stack, volume, load
        self.promises = load.promises


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Start a stack on a faulty volume, and the load."""
    replicas = {"auth": 1, "delivery": 2, "imap": 2, "pop3": 1}
    with volumes.faulty() as volume, Stack(replicas=replicas, mail=volume.options) as stack:
        prepare(stack)
        promises = Promises()
        with Load(doors(stack), ACCOUNTS, promises) as load:
            promises.wait_for_all(load.kinds, 0.0, faults.HANG)
            yield Run(stack, volume, load)


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
    run: Run, name: str, operations: tuple[str, ...], number: int, rate: float, delay: float
) -> None:
    before = len(run.promises.broken)
    phase = run.promises.begin(name, "mail volume")
    begun = time.monotonic()
    run.volume.fail(operations, number, rate=rate, delay=delay)
    threading.Event().wait(HOLD)
    run.volume.heal()
    ended = time.monotonic()
    phase.held = ended - begun
    phase.recovery, phase.slowest = run.promises.wait_for_all(run.load.kinds, ended, faults.HANG)
    for node in run.stack.services():
        wait_until(f"{node.name} is well", lambda node=node: faults.well(node), faults.HANG)  # type: ignore[misc]  # bound now
    phase.back = time.monotonic() - ended
    print(f"\n{' '.join(phase.cells())}")
    assert run.promises.broken[before:] == []
    assert phase.recovery <= faults.RECOVERY


def test_every_promise_was_kept(run: Run) -> None:
    """The last of this module."""
    run.load.__exit__()
    kept = read_everything(run.stack.address("imap", 1143, 2), ACCOUNTS, run.promises)
    run.promises.settle(kept)
    table = run.promises.table()
    print("\n" + table)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.with_name("e2e-volume-faults.md").write_text(table)
    assert run.promises.broken == []
