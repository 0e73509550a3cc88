"""Client sessions as generators: each yields (bytes to send, how the answer ends), gets the answer.

An answer ends, by kind: LINES(n): after n lines; SMTP: a line "ddd text"; DOT: a POP3 multi-line
answer; TAGGED(tag): a line with the tag, of a long answer only the end is given.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from tests.bench.mail import DOMAIN, PASSWORD, message

LINES, SMTP, DOT, TAGGED = range(4)

Step = tuple[bytes, int, int | bytes]
Flow = Generator[Step, bytes, None]


class RefusedError(Exception):
    """The server answered something else than success."""


@dataclass
class Turn:
    """What a flow needs from its driver: whose turn it is, when to stop, what was done."""

    number: int  # of the connection
    running: Callable[[], bool]
    done: Callable[[], None]  # one operation is complete


def expect(answer: bytes, start: bytes) -> None:
    """Raise RefusedError unless an answer starts with `start`."""
    if not answer.startswith(start):
        raise RefusedError(answer[:200].decode("latin-1"))


def lmtp(turn: Turn, *, recipients: int, users: int, size: int) -> Flow:
    """Deliver message after message over one connection."""
    expect((yield b"", SMTP, 0), b"220")
    expect((yield b"LHLO bench.test\r\n", SMTP, 0), b"250")
    body = message(turn.number, size) + b".\r\n"
    at = turn.number * 7
    while turn.running():
        rcpt = b"".join(
            b"RCPT TO:<lmtp%d@%b>\r\n" % ((at + i) % users, DOMAIN.encode())
            for i in range(recipients)
        )
        at += recipients
        command = b"MAIL FROM:<sender@example.org>\r\n%bDATA\r\n" % rcpt
        answer = yield command, LINES, recipients + 2
        if b"\r\n354" not in answer or answer.count(b"250") < recipients + 1:
            raise RefusedError(answer[:200].decode("latin-1"))
        answer = yield body, LINES, recipients
        if len([line for line in answer.split(b"\r\n") if line[:3] == b"250"]) != recipients:
            raise RefusedError(answer[:200].decode("latin-1"))
        turn.done()
    yield b"QUIT\r\n", SMTP, 0


def pop3(turn: Turn, *, users: int, retrieve: int) -> Flow:
    """One session: login, STAT, UIDL, some RETR, QUIT."""
    user = b"session%d@%b" % (turn.number % users, DOMAIN.encode())
    expect((yield b"", LINES, 1), b"+OK")
    expect((yield b"USER %b\r\n" % user, LINES, 1), b"+OK")
    expect((yield b"PASS %b\r\n" % PASSWORD.encode(), LINES, 1), b"+OK")
    expect((yield b"STAT\r\n", LINES, 1), b"+OK")
    expect((yield b"UIDL\r\n", DOT, 0), b"+OK")
    for number in range(1, retrieve + 1):
        expect((yield b"RETR %d\r\n" % number, DOT, 0), b"+OK")
    expect((yield b"QUIT\r\n", LINES, 1), b"+OK")
    turn.done()


def imap_login(user: str) -> Flow:
    """Greeting and LOGIN, for the flows below."""
    expect((yield b"", LINES, 1), b"* OK")
    command = f"a LOGIN {user}@{DOMAIN} {PASSWORD}\r\n".encode()
    answer = yield command, TAGGED, b"a "
    if b"a OK" not in answer:
        raise RefusedError(answer[:200].decode("latin-1"))


def imap(turn: Turn, *, users: int) -> Flow:
    """One session: login, SELECT INBOX, LOGOUT."""
    yield from imap_login(f"session{turn.number % users}")
    if b"b OK" not in (yield b"b SELECT INBOX\r\n", TAGGED, b"b "):
        raise RefusedError("SELECT")
    yield b"c LOGOUT\r\n", TAGGED, b"c "
    turn.done()
