"""Damaged commands at the running IMAP service: always an answer, never SERVERBUG, never a hang.

Each round logs in, sends a stream of damaged commands in random pieces, then asks a question that
must be answered, or finds the connection ended by a BYE.
"""

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.fuzz.test_imap_parser import mutant
from tests.services.imap.samples import NESTED, PLAIN
from tests.services.imap.server import PASSWORD, Server, make_certificate
from tests.services.imap.wire import Wire

LINES = [
    b"a SELECT INBOX",
    b"a FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[1.1] BODY[HEADER.FIELDS (To)])",
    b"a FETCH 2 (BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT]<1.2> RFC822.SIZE INTERNALDATE MODSEQ)",
    b"a UID STORE 1:* +FLAGS (\\Seen work)",
    b"a STORE 2 (UNCHANGEDSINCE 3) -FLAGS.SILENT (work)",
    b"a UID COPY 1:2 INBOX.Trash",
    b"a UID MOVE 3:* INBOX.Sent",
    b"a SEARCH OR (TEXT x NOT SEEN) SINCE 1-Jan-2020 UID 1:3",
    b"a UID SEARCH RETURN (MIN COUNT SAVE) FROM ann BODY noon",
    b"a FETCH $ (FLAGS) (CHANGEDSINCE 1)",
    b"a STATUS INBOX (MESSAGES UNSEEN SIZE HIGHESTMODSEQ)",
    b'a LIST (SUBSCRIBED RECURSIVEMATCH) "" (% INBOX.*) RETURN (STATUS (MESSAGES))',
    b"a CREATE INBOX.f&AOQ-.x",
    b"a RENAME INBOX.f&AOQ- INBOX.g",
    b"a DELETE INBOX.g.x",
    b'a LSUB "" INBOX.%',
    b"a SUBSCRIBE INBOX.q",
    b"a GETQUOTAROOT INBOX",
    b"a APPEND INBOX (\\Seen) {12+}\r\nSubject: x\r\n",
    b"a EXPUNGE",
    b"a NOOP",
    b"a CLOSE",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("fuzz"),
        make_certificate(tmp_path_factory.mktemp("tls")),
        max_bad_commands=1000,
    )
    for message in (PLAIN, NESTED, PLAIN, NESTED):
        running.deliver(message)
    yield running
    running.stop()


def stream(rng: random.Random) -> bytes:
    """Return some lines, a few of them damaged; none waits for a continuation on purpose."""
    out = []
    for line in rng.choices(LINES, k=rng.randint(3, 10)):
        octets = bytearray(line)
        for _ in range(rng.choice([0, 0, 1, 2])):
            at = rng.randrange(len(octets))
            octets[at : at + rng.randint(0, 3)] = rng.choice(
                [b"", b"*", b"(", b")", b'"', b"[", b"]", b"\xff", b"99999", b"0", b" ", b"{", b"%"]
            )
        out.append(bytes(octets) + b"\r\n")
    if rng.random() < 0.3:
        out.append(mutant(rng) + b"\r\n")
    return b"".join(out)


def one_round(server: Server, rng: random.Random) -> None:
    """One connection."""
    wire = Wire(server.address)
    wire.ok(f'LOGIN joe@example.test "{PASSWORD}"')
    data = stream(rng)
    at = 0
    while at < len(data):
        step = rng.choice([1, 7, 50, 1000])
        wire.send(data[at : at + step])
        at += step
    # Ends an IDLE, an AUTHENTICATE, an open literal or an unfinished message, whichever it is.
    wire.send(b"\r\nDONE\r\n" + b" " * 40 + b"\r\nend NOOP\r\n")
    wire.socket.settimeout(3)
    answers: list[bytes] = []
    try:
        while not answers or not answers[-1].startswith(b"end "):
            answers.append(wire.line())
    except TimeoutError:
        # A mutant may announce a literal that nobody will send: the server must wait for it.
        assert b"{" in data, (data, answers)
    except (EOFError, ConnectionError):
        assert any(line.startswith(b"* BYE") for line in answers), (data, answers)
    wire.close()
    assert not any(b"SERVERBUG" in line for line in answers), (data, answers)


def test_damaged_commands(server: Server) -> None:
    rng = random.Random(77)
    for _ in range(120):
        one_round(server, rng)


@pytest.mark.campaign
def test_damaged_commands_for_long(server: Server) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    end = time.monotonic() + float(os.environ.get("RESTANTE_FUZZ_SECONDS", "600"))
    while time.monotonic() < end:
        one_round(server, rng)
