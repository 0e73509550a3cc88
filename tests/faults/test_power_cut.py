"""The delivery service under a power cut at every system call: what was answered with 250 is there.

The service's system calls are traced and replayed into powercut.Disk. Variants of the service
that leave out one of the syncs must be caught.
"""

import os
import shutil
import smtplib
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults import powercut
from tests.faults.ledger import make_message, token_of
from tests.support.process import ServiceProcess
from tests.support.system import System

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="the power-cut tests need strace"),
]

ACCOUNTS = [f"user{n}@example.test" for n in range(2)]

# The delivery service without one kind of sync.
PROGRAM = """
import os, sys
variant = sys.argv.pop(1)
real = os.fsync
def fsync(fd):
    is_directory = os.path.isdir(f"/proc/self/fd/{fd}")
    if variant != ("no directory fsync" if is_directory else "no file fsync"):
        real(fd)
os.fsync = os.fdatasync = fsync
from services.delivery.main import main
sys.exit(main())
"""


@dataclass
class Sent:
    """What the clients sent: (client port) -> (token, recipients)."""

    messages: dict[int, tuple[str, list[str]]] = field(default_factory=dict)

    def send(self, address: tuple[str, int], number: int) -> None:
        """One message over a connection of its own; some large, some for both accounts."""
        token = uuid.uuid4().hex
        recipients = ACCOUNTS if number % 3 == 0 else [ACCOUNTS[number % 2]]
        with smtplib.LMTP(*address) as lmtp:
            assert lmtp.sock is not None
            self.messages[lmtp.sock.getsockname()[1]] = (token, recipients)
            message = make_message(token, 200_000 if number % 5 == 0 else 3000)
            lmtp.ehlo_or_helo_if_needed()
            assert lmtp.mail("sender@example.test")[0] == 250
            assert [lmtp.rcpt(recipient)[0] for recipient in recipients] == [250] * len(recipients)
            # smtplib reads one reply to DATA; LMTP gives one for each recipient.
            replies = [lmtp.data(message), *(lmtp.getreply() for _ in recipients[1:])]
            assert [code for code, _ in replies] == [250] * len(recipients)


def traced_run(tmp_path: Path, variant: str) -> tuple[str, Sent, Path]:
    """Deliver with the traced service; return the trace, what was sent, the mail root."""
    fifo = tmp_path / "trace"
    os.mkfifo(fifo)
    trace: list[str] = []
    reader = threading.Thread(target=lambda: trace.append(fifo.read_text(errors="replace")))
    reader.start()
    sent = Sent()
    with System(tmp_path, ["auth"]) as system:
        for account in ACCOUNTS:
            system.add_account(account, "secret")
        command = (*powercut.STRACE, str(fifo), "-D", sys.executable, "-c", PROGRAM, variant)
        with ServiceProcess("delivery", system.data, system.env, command=command) as delivery:
            address = delivery.address("lmtp_listen")
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda n: sent.send(address, n), range(24)))
        root = system.mail_root
    reader.join()
    return trace[0], sent, root


def broken_promises(trace: str, sent: Sent, root: Path) -> tuple[int, set[str]]:
    """Return how many were acknowledged, and in which ways a power cut would break a promise."""
    disk = powercut.Disk(str(root))
    in_data: set[int] = set()
    acked: list[tuple[str, str]] = []
    broken: set[str] = set()
    for call in powercut.calls(trace):
        disk.apply(call)
        connection = powercut.connection_of(call)
        if connection is not None:
            port = int(connection.rpartition(":")[2])
            reply = powercut.text_of(call.args.partition(">")[2])
            if reply.startswith(b"354"):
                in_data.add(port)
            elif port in in_data and port in sent.messages:
                in_data.discard(port)
                token, recipients = sent.messages[port]
                acked += [(token, recipient) for recipient in recipients]
        if call.name not in ("write", "writev", "sendto", "sendmsg", "pwrite64") or connection:
            broken |= losses(disk, acked)
    return len(acked), broken


def losses(disk: powercut.Disk, acked: list[tuple[str, str]]) -> set[str]:
    """Return what would be broken if the power failed now."""
    found = set()
    left: dict[str, set[str | None]] = {account: set() for account in ACCOUNTS}
    for path, content in disk.lost().items():
        if "/new/" in path or "/cur/" in path:
            account = next(a for a in ACCOUNTS if f"/{a.partition('@')[0]}/" in path)
            left[account].add(token_of(wire(content)))
    if any(token not in left[account] for token, account in acked):
        found.add("lost")
    for path, content in disk.torn().items():
        if ("/new/" in path or "/cur/" in path) and token_of(wire(content)) is None:
            found.add("torn")
    return found


def wire(stored: bytes) -> bytes:
    """Return a stored message with CRLF."""
    return stored.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("as it is", set()),
        ("no file fsync", {"lost", "torn"}),
        ("no directory fsync", {"lost"}),
    ],
)
def test_what_was_acknowledged_survives(tmp_path: Path, variant: str, expected: set[str]) -> None:
    trace, sent, root = traced_run(tmp_path, variant)
    acked, broken = broken_promises(trace, sent, root)
    assert acked == sum(len(recipients) for _, recipients in sent.messages.values()) == 32
    assert broken == expected
