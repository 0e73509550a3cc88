"""The faults of test_faults.py for longer, at random, again and again (`make e2e-campaign`).

RESTANTE_E2E_MINUTES says how long (default 30), RESTANTE_TEST_SEED which faults.
"""

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.campaign import ACCOUNTS, Run, doors, finish, prepare, under_load
from tests.e2e.faults import DISCONNECT, KILL, PAUSE, RECOVERY, STOP, Fault, stop
from tests.e2e.load import SENDER
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.campaign]

SERVICES = ("auth", "delivery", "imap", "pop3")
SINGLE = ("webmail-1", "redis", "postgres", "exim", "balancer")


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[Run]:
    """Keep the load going."""
    for address in (SENDER, *ACCOUNTS):
        stack.add_account(address)
    where = doors(stack)
    prepare(where)
    with under_load(stack.nodes, where) as run:
        run.recovery = RECOVERY
        yield run


def _some(dice: random.Random) -> tuple[Fault, list[str]]:
    """Draw a fault, how long it lasts, and whom it hits."""
    fault = dice.choice((KILL, PAUSE, DISCONNECT, STOP))
    if fault in (PAUSE, DISCONNECT):
        fault = fault.for_seconds(dice.choice((1.0, 5.0, 20.0, 40.0)))
    kind = dice.random()
    if kind < 0.5:
        return fault, [f"{dice.choice(SERVICES)}-{dice.choice('12')}"]
    if kind < 0.6:
        service = dice.choice(SERVICES)
        return fault, [f"{service}-1", f"{service}-2"]
    if kind < 0.7:
        return fault, [f"{name}-{dice.choice('12')}" for name in SERVICES]
    return fault, [dice.choice(SINGLE)]


def test_faults_at_random(run: Run) -> None:
    dice = random.Random(int(os.environ.get("RESTANTE_TEST_SEED", "4")))
    end = time.monotonic() + 60 * float(os.environ.get("RESTANTE_E2E_MINUTES", "30"))
    run.inflict(Fault("away", stop, 60.0), "redis")
    run.inflict(Fault("away", stop, 30.0), "postgres")
    while time.monotonic() < end:
        fault, names = _some(dice)
        run.inflict(fault, *names)
    finish(run, "e2e-campaign.md")
