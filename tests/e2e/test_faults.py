"""Faults of every container in turn under load: nothing lost, nothing bounced, well in 10 seconds.

The tests of this module share one load and one record; the last one compares what was promised
with what is there, and prints the table of faults and losses.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import faults
from tests.e2e.faults import DISCONNECT, KILL, PAUSE, STOP, Fault, inflict
from tests.e2e.load import SENDER, Doors, Load, read_everything
from tests.e2e.promises import Promises
from tests.e2e.stack import PASSWORD, Stack
from tests.support.process import ROOT

pytestmark = pytest.mark.e2e

ACCOUNTS = [f"load{n}@example.test" for n in range(6)]
REPORT = Path(os.environ.get("RESTANTE_E2E_REPORT", ROOT / "bench-results" / "e2e-faults.md"))


def doors(stack: Stack) -> Doors:
    """Return where clients go: to the balancer and exim where there are such, else to replicas."""

    def balanced(port: int) -> list[tuple[str, int]]:
        node = stack.nodes.get("balancer")
        return [("127.0.0.1", node.port(port))] if node else []

    def all_of(service: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", n.port(port)) for n in stack.services() if n.service == service]

    return Doors(
        lmtp=all_of("delivery", 2424),
        hook=all_of("delivery", 8025),
        imap=balanced(1143) or all_of("imap", 1143),
        pop3=balanced(1110) or all_of("pop3", 1110),
        webmail=balanced(8443),
        smtp=[("127.0.0.1", stack.nodes["exim"].port(25))] if "exim" in stack.nodes else [],
        hook_token=stack.files.delivery_token,
    )


@dataclass
class Run:
    """A stack under load and what it promised."""

    stack: Stack
    load: Load
    promises: Promises

    def inflict(self, fault: Fault, *names: str) -> None:
        """Do harm to containers; nothing may break by it."""
        before = len(self.promises.broken)
        nodes = [self.stack.nodes[name] for name in names]
        phase = inflict(fault, nodes, self.load, self.promises)
        print(f"\n{' '.join(phase.cells())}")
        assert self.promises.broken[before:] == []


def prepare(stack: Stack) -> None:
    """Make the accounts of the load."""
    import imaplib

    for address in (SENDER, *ACCOUNTS):
        stack.add_account(address)
        client = imaplib.IMAP4(*stack.address("imap", 1143))
        client.login(address, PASSWORD)
        client.create("INBOX.Archive")
        client.logout()


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[Run]:
    """Keep the load going while the tests of this module run."""
    prepare(stack)
    promises = Promises()
    with Load(doors(stack), ACCOUNTS, promises) as load:
        promises.wait_for_all(load.kinds, 0.0, faults.HANG)
        yield Run(stack, load, promises)


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


def test_redis_away(run: Run) -> None:
    run.inflict(Fault("away", faults.stop, 15.0), "redis")


def test_postgres_restarted(run: Run) -> None:
    run.inflict(STOP, "postgres")


@pytest.mark.parametrize("name", ["auth-1", "delivery-1", "imap-1", "pop3-1"])
def test_restart(run: Run, name: str) -> None:
    run.inflict(STOP, name)


def test_every_promise_was_kept(run: Run) -> None:
    """The last of this module: stop the load, look for everything, print the table."""
    run.load.__exit__()
    kept = read_everything(run.stack.address("imap", 1143), ACCOUNTS, run.promises)
    run.promises.settle(kept)
    table = run.promises.table()
    print("\n" + table)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(table)
    assert run.promises.broken == []
    assert len(run.promises.phases) > 1
