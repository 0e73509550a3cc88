"""A run of faults: one load, one record of promises, one closing table.

RESTANTE_E2E_REPORT names the folder of the tables in place of bench-results.
"""

import imaplib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e import faults
from tests.e2e.faults import Fault, inflict
from tests.e2e.load import SENDER, Address, Doors, Load, read_everything
from tests.e2e.node import Node
from tests.e2e.promises import Promises
from tests.e2e.stack import PASSWORD, Stack, wait_until
from tests.support.process import ROOT

ACCOUNTS: Final = [f"load{n}@example.test" for n in range(6)]
REPORTS: Final = Path(os.environ.get("RESTANTE_E2E_REPORT", ROOT / "bench-results"))


def doors(stack: Stack) -> Doors:
    """Return where clients go: to the balancer and exim where there are such, else to replicas."""

    def balanced(port: int) -> list[Address]:
        node = stack.nodes.get("balancer")
        return [("127.0.0.1", node.port(port))] if node else []

    def all_of(service: str, port: int) -> list[Address]:
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

    nodes: Mapping[str, Node]
    doors: Doors
    load: Load
    promises: Promises
    recovery: float = faults.TOLERATED  # seconds that one may take

    def inflict(self, fault: Fault, *names: str) -> None:
        """Do harm to containers; nothing may break by it."""
        before = len(self.promises.broken)
        nodes = [self.nodes[name] for name in names]
        phase = inflict(fault, nodes, self.load, self.promises, seconds=self.recovery)
        print(f"\n{' '.join(phase.cells())}")
        assert self.promises.broken[before:] == []


def prepare(where: Doors) -> None:
    """Make the folder that the load appends to."""
    for address in (SENDER, *ACCOUNTS):
        client = imaplib.IMAP4(*where.imap[0], timeout=30)
        client.login(address, PASSWORD)
        client.create("INBOX.Archive")
        client.logout()


@contextmanager
def under_load(nodes: Mapping[str, Node], where: Doors) -> Iterator[Run]:
    """Keep the load going; the accounts are there."""
    promises = Promises()
    with Load(where, ACCOUNTS, promises) as load:
        promises.wait_for_all(load.kinds, 0.0, faults.HANG)
        yield Run(nodes, where, load, promises)


def finish(run: Run, name: str) -> None:
    """Stop the load, look for everything that was promised, print and write the table."""
    run.load.__exit__()
    exim = run.nodes.get("exim")
    if exim is not None:
        wait_until("exim's queue is empty", lambda: _queue(exim) == 0, faults.HANG)
    run.promises.settle(read_everything(run.doors.imap[0], ACCOUNTS, run.promises))
    table = run.promises.table()
    print("\n" + table)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / name).write_text(table)
    assert run.promises.broken == []
    assert len(run.promises.phases) > 1


def _queue(exim: Node) -> int:
    return int(exim.run("exim4", "-bpc").strip() or 0)
