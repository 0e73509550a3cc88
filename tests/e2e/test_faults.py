"""Faults of every container in turn under load: nothing lost, nothing bounced.

The tests of this module share one load and one record; the last one compares what was promised
with what is there, and prints the table of faults and losses.
"""

from collections.abc import Iterator

import pytest

from tests.e2e import faults
from tests.e2e.campaign import ACCOUNTS, Run, doors, finish, prepare, under_load
from tests.e2e.faults import DISCONNECT, KILL, PAUSE, STOP, Fault
from tests.e2e.load import SENDER
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[Run]:
    """Keep the load going while the tests of this module run."""
    for address in (SENDER, *ACCOUNTS):
        stack.add_account(address)
    where = doors(stack)
    prepare(where)
    with under_load(stack.nodes, where) as run:
        yield run


EACH = [
    *("auth-1", "delivery-1", "imap-1", "pop3-1", "webmail-1"),
    *("redis", "postgres", "exim", "balancer"),
]


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("fault", [KILL, PAUSE, DISCONNECT], ids=lambda fault: fault.name)
def test_fault(run: Run, fault: Fault, name: str) -> None:
    run.inflict(fault, name)


@pytest.mark.parametrize("service", ["auth", "delivery", "imap", "pop3"])
@pytest.mark.parametrize("fault", [KILL, PAUSE], ids=lambda fault: fault.name)
def test_fault_of_all_replicas(run: Run, fault: Fault, service: str) -> None:
    run.inflict(fault, f"{service}-1", f"{service}-2")


def test_a_replica_of_each_is_frozen_for_longer_than_clients_wait(run: Run) -> None:
    run.inflict(PAUSE.for_seconds(12.0), "auth-1", "delivery-1", "imap-1", "pop3-1")


def test_redis_away(run: Run) -> None:
    run.inflict(Fault("away", faults.stop, 15.0), "redis")


def test_postgres_restarted(run: Run) -> None:
    run.inflict(STOP, "postgres")


@pytest.mark.parametrize("name", ["auth-1", "delivery-1", "imap-1", "pop3-1"])
def test_restart(run: Run, name: str) -> None:
    run.inflict(STOP, name)


def test_every_promise_was_kept(run: Run) -> None:
    """The last of this module: stop the load, look for everything, print the table."""
    finish(run, "e2e-faults.md")
