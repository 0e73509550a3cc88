"""compose.yaml under load: every container is killed, stopped by force or cut off, and scaled."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.campaign import ACCOUNTS, Run, finish, prepare, under_load
from tests.e2e.compose import SCALE, ComposeStack
from tests.e2e.faults import DISCONNECT, HANG, KILL, PAUSE, STOP, TOLERATED, Fault
from tests.e2e.load import SENDER, Doors

pytestmark = pytest.mark.e2e

EACH = [
    *("auth-1", "delivery-1", "imap-1", "pop3-1", "webmail-1"),
    *("redis", "postgres", "exim", "balancer"),
]


@pytest.fixture(scope="module")
def run(compose: ComposeStack) -> Iterator[Run]:
    """Keep the load going while the tests of this module run."""
    for address in (SENDER, *ACCOUNTS):
        compose.add_account(address)

    def at(name: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", compose.port(name))]

    where = Doors(
        smtp=at("SMTP_PORT"),
        imap=at("IMAP_PORT"),
        pop3=at("POP3_PORT"),
        webmail=at("HTTPS_PORT"),
    )
    prepare(where)
    with under_load(compose.nodes, where) as run:
        yield run


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("fault", [KILL, DISCONNECT], ids=lambda fault: fault.name)
def test_fault(run: Run, fault: Fault, name: str) -> None:
    run.inflict(fault, name)


def test_paused_replicas(run: Run) -> None:
    run.inflict(PAUSE, "auth-1", "delivery-1", "imap-1", "pop3-1")


def test_restarts(run: Run) -> None:
    run.inflict(STOP, "postgres", "redis")


def test_scaled_down_and_up_under_load(run: Run, compose: ComposeStack) -> None:
    phase = run.promises.begin("scaled", "imap pop3")
    compose.up({**SCALE, "imap": 1, "pop3": 1})
    compose.up(SCALE)
    assert "imap-3" in compose.nodes
    phase.recovery, phase.slowest = run.promises.wait_for_all(
        run.load.kinds, time.monotonic(), HANG
    )
    assert phase.recovery <= TOLERATED


def test_every_promise_was_kept(run: Run) -> None:
    """The last of this module."""
    finish(run, "e2e-compose-faults.md")
