"""Faults of containers: what is done to them under load, for how long, and how it is undone.

The fault's end is the moment from which recovery is measured: that of the kill itself, of the end
of a pause, of the connection to the networks again. Recovered is a system in which a new client of
each kind succeeds; "back" is a container when its own health check is content.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.e2e.load import Load
from tests.e2e.node import Node
from tests.e2e.promises import Phase, Promises
from tests.e2e.stack import HEALTH, ready, wait_until

RECOVERY: Final = 10.0  # seconds: what we promise on a machine that does nothing else
TOLERATED: Final = 40.0  # seconds: only a hang is longer, however busy the machine
HANG: Final = 90.0  # seconds after which nothing will come any more
_AFTER: Final = 0.5  # seconds of normal work after a recovery

Harm = Callable[[Node], Callable[[], object]]


def _nothing() -> None:
    """Undo what undoes itself."""


def kill(node: Node) -> Callable[[], object]:
    """kill -9."""
    node.kill()
    return _nothing


def pause(node: Node) -> Callable[[], object]:
    """Freeze: connections stay open, nobody answers."""
    node.pause()
    return node.unpause


def disconnect(node: Node) -> Callable[[], object]:
    """Pull the network cable."""
    networks = node.disconnect()
    return lambda: node.connect(networks)


def stop(node: Node) -> Callable[[], object]:
    """SIGTERM, as an operator or an upgrade does it, and a start."""
    node.stop()
    return node.start


@dataclass(frozen=True)
class Fault:
    """A kind of harm and how long it lasts, in seconds."""

    name: str
    harm: Harm
    hold: float

    def for_seconds(self, hold: float) -> "Fault":
        """Return the same harm for another time."""
        return Fault(self.name, self.harm, hold)


KILL: Final = Fault("kill -9", kill, 0.0)
PAUSE: Final = Fault("pause", pause, 4.0)
DISCONNECT: Final = Fault("disconnect", disconnect, 4.0)
STOP: Final = Fault("restart", stop, 0.0)


def inflict(
    fault: Fault,
    nodes: Sequence[Node],
    load: Load,
    promises: Promises,
    *,
    seconds: float = TOLERATED,
) -> Phase:
    """Do harm to containers at once, undo it, wait until everything works; return what was seen.

    A recovery that takes longer than `seconds` is noted as broken. AssertionError where none comes.
    """
    phase = promises.begin(fault.name, " ".join(node.name for node in nodes))
    begun = time.monotonic()
    with harmed(fault, nodes):
        threading.Event().wait(fault.hold)
    ended = time.monotonic()
    phase.held = ended - begun
    since = begun if fault.harm is kill else ended
    phase.recovery, phase.slowest = promises.wait_for_all(load.kinds, since, HANG)
    for node in nodes:
        wait_until(f"{node.name} is well", lambda node=node: well(node), HANG)  # type: ignore[misc]  # bound now
    phase.back = time.monotonic() - since
    if phase.recovery > seconds:
        promises.broken.append(
            f"recovery from {phase.fault} of {phase.container} took {phase.recovery:.1f} s:"
            f" {phase.slowest}"
        )
    threading.Event().wait(_AFTER)
    return phase


@contextmanager
def harmed(fault: Fault, nodes: Sequence[Node]) -> Iterator[None]:
    """Do harm around a block."""
    with ExitStack() as undone:
        for node in nodes:
            undone.callback(fault.harm(node))
        yield


def well(node: Node) -> bool:
    """Return whether a container is what it should be."""
    if node.service in HEALTH and node.publishes(HEALTH[node.service]):
        return ready(node.port(HEALTH[node.service]))
    if node.status() != "running":
        return False
    check = {
        "postgres": "pg_isready -h 127.0.0.1 && echo well",
        "redis": "redis-cli ping 2>&1 | grep -qE 'PONG|NOAUTH' && echo well",
        **{
            f"{name}-{n}": f"restante healthy {name} && echo well" for name in HEALTH for n in "123"
        },
    }.get(node.name, "echo well")
    return b"well" in node.run("sh", "-c", check, check=False)
