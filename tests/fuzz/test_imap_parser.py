"""Random octets at the IMAP parser: no exception, no unbounded memory, no dependence on cuts.

`pytest tests/fuzz -m campaign` runs it for long; RESTANTE_FUZZ_SECONDS says how long.
"""

import os
import random
import time

import pytest

from restante.wire.imap.commands import Command
from restante.wire.imap.events import AppendChunk, AppendStart, Event, ProtocolError
from restante.wire.imap.limits import AUTHENTICATED, PRE_AUTH, Limits
from restante.wire.imap.parser import ImapParser

SEEDS = [
    b"a LOGIN {3}\r\nabc {4+}\r\ndefg\r\n",
    b'a APPEND {1+}\r\nx (\\Seen k) " 1-Jan-2020 00:00:00 +0100" {5+}\r\nhello\r\n',
    b"a APPEND x UTF8 (~{5+}\r\nhello)\r\n",
    b'a UID FETCH 1:*,7 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From "To")]<0.9>) (CHANGEDSINCE 9)\r\n',
    b"a STORE 1 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Seen work)\r\n",
    b'a UID SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR (FROM "\xc3\xa4" NOT SEEN) UID $\r\n',
    b"a SEARCH SINCE 1-Feb-1994 LARGER 10 KEYWORD x 1:3,9 MODSEQ 5\r\n",
    b'a LIST (SUBSCRIBED) "" ("%" INBOX.*) RETURN (CHILDREN STATUS (MESSAGES SIZE))\r\n',
    b"a SELECT x (QRESYNC (1 2 1:9 (1,3 7,9)) CONDSTORE)\r\n",
    b'a ID ("name" "x" "os" NIL)\r\nb AUTHENTICATE PLAIN AGEAYg==\r\nc IDLE\r\nDONE\r\n',
    b"a SETQUOTA r (STORAGE 5)\r\na CREATE x (USE (\\Sent))\r\na COPY 1:3 y\r\n\r\n",
]
TOKENS = [
    *(b"(", b")", b'"', b"\\", b"{", b"}", b"{1}\r\n", b"{2+}\r\n", b"{99999999999+}\r\n"),
    *(b"~{3+}\r\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b"  ", b"*", b"%", b"$", b",", b":"),
    *(b"NIL", b"UID ", b"NOT ", b"OR ", b"[", b"]", b"<0.1>", b"\xff", b"\xc3\xa4", b"(" * 40),
    *(b"4294967295", b"18446744073709551616", b"a" * 300, b"APPEND ", b"RETURN "),
]


def mutant(rng: random.Random) -> bytes:
    """Return a damaged stream of a few commands."""
    data = bytearray(b"".join(rng.choices(SEEDS, k=rng.randint(1, 4))))
    for _ in range(rng.randint(0, 8)):
        at = rng.randint(0, len(data))
        action = rng.random()
        if action < 0.4:
            data[at:at] = rng.choice(TOKENS)
        elif action < 0.6:
            del data[at : at + rng.randint(1, 6)]
        elif action < 0.8 and at < len(data):
            data[at] = rng.randrange(256)
        else:
            start = rng.randint(0, len(data))
            data[at:at] = data[start : start + rng.randint(1, 40)]
    return bytes(data)


def run(pieces: list[bytes], limits: Limits, refuse: bool) -> list[Event]:
    """Return the events; message chunks joined."""
    parser = ImapParser(limits)
    out: list[Event] = []
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, AppendStart) and refuse and not event.sync:
                parser.refuse_append()
            if isinstance(event, AppendChunk) and isinstance(out[-1], AppendChunk):
                out[-1] = AppendChunk(out[-1].data + event.data)
            else:
                out.append(event)
        held = len(parser._buffer) + len(parser._kept)
        assert held <= limits.line + limits.literals + len(piece)
    return out


def check(rng: random.Random) -> None:
    """One mutant: whole, octet by octet and in random pieces."""
    stream = mutant(rng)
    limits = rng.choice([PRE_AUTH, AUTHENTICATED])
    refuse = rng.random() < 0.3
    whole = run([stream], limits, refuse)
    assert run([stream[i : i + 1] for i in range(len(stream))], limits, refuse) == whole, stream
    cuts = sorted(rng.choices(range(len(stream) + 1), k=3))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert run(pieces, limits, refuse) == whole, stream
    for event in whole:
        if isinstance(event, ProtocolError):
            assert event.text.isprintable()
            assert event.tag is None or (event.tag.isascii() and event.tag.isprintable())
        elif isinstance(event, Command):
            assert event.tag.isascii()
            assert event.tag.isprintable()


def test_a_few_thousand_mutants() -> None:
    rng = random.Random(2060)
    for _ in range(1500):
        check(rng)


@pytest.mark.campaign
def test_mutants_for_long() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    end = time.monotonic() + float(os.environ.get("RESTANTE_FUZZ_SECONDS", "600"))
    while time.monotonic() < end:
        check(rng)
