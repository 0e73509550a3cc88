"""Random commands to our service and to Dovecot in lockstep: same answers, same mailboxes.

Each client also keeps the mailbox as the untagged responses tell it; after every step that must be
what a fresh FETCH says, so that no update is ever missing.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.services.imap.wire import Wire
from tests.transcripts.imap.conftest import Connect
from tests.transcripts.imap.odd_messages import ODD
from tests.transcripts.imap.samples import SAMPLES
from tests.transcripts.imap.values import Value, pairs, response

FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "work", "$Label1"]
FOLDERS = ["INBOX", "INBOX.one", "INBOX.two"]
Row = tuple[str | None, frozenset[str] | None]
UNKNOWN: Row = (None, None)


@dataclass
class Client:
    """A connection and what it was told."""

    wire: Wire
    rows: list[Row] = field(default_factory=list)
    selected: bool = False

    def run(self, command: str) -> tuple[str, list[Value]]:
        """Run a command; return the tagged word with its code, and what SEARCH and STATUS said."""
        if command.startswith(("SELECT", "EXAMINE", "CLOSE", "UNSELECT")):
            self.rows, self.selected = [], False
        said: list[Value] = []
        *lines, last = self.wire.run(command)
        for line in lines:
            value = response(line)
            if value[2:] == ["EXPUNGE"]:  # RFC 3501 section 7.4.1
                assert not command.startswith(("FETCH", "STORE", "SEARCH")), command
            if value[1] in ("SEARCH", "STATUS"):
                said.append(value if value[1] == "STATUS" else [*sorted(map(str, value))])
            elif len(value) > 2:
                self._told(value)
        if ".SILENT" in command:  # what was told may be from before; the client knows the rest
            self.rows = [(uid, None) for uid, _ in self.rows]
        if command.startswith("SELECT") and last.startswith(b"OK"):
            self.selected = True
        word = response(b"t " + last)
        return f"{word[1]} {_code(word[2])}", said

    def _told(self, value: list[Value]) -> None:
        if value[2] == "EXISTS":
            count = int(str(value[1]))
            assert count >= len(self.rows), "EXISTS may not shrink"
            self.rows += [UNKNOWN] * (count - len(self.rows))
        elif value[2] == "EXPUNGE":
            del self.rows[int(str(value[1])) - 1]
        elif value[2] == "FETCH":
            assert isinstance(value[3], list)
            items = pairs(value[3])
            at = int(str(value[1])) - 1
            known, flags = self.rows[at]
            uid = items.get("UID", known)
            assert known is None or uid == known, "a number means another message"
            told = items.get("FLAGS")
            if isinstance(told, list):
                flags = frozenset(str(flag).lower() for flag in told) - {"\\recent"}
            self.rows[at] = (None if uid is None else str(uid), flags)

    def check(self) -> list[Row]:
        """Return the mailbox by FETCH, having checked what was told before."""
        if not self.selected:
            return []
        before = list(self.rows)
        if before:
            assert self.run("FETCH 1:* (UID FLAGS)")[0].startswith("OK")
        assert len(before) == len(self.rows)
        for told, now in zip(before, self.rows, strict=True):
            assert None not in now
            assert told[1] in (None, now[1])
        return self.rows


def _code(code: Value) -> str:
    """Return the part of a response code that is the same on any server."""
    if isinstance(code, list) and code and code[0] in ("TRYCREATE", "COPYUID", "APPENDUID"):
        return " ".join(str(one) for one in (code[0], *code[2:]))
    return ""


def commands(rng: random.Random) -> Iterator[tuple[int, str]]:
    """Yield (client, command) for ever."""
    sizes = {0: 0, 1: 0}

    def numbers() -> str:
        top = max(sizes[0], sizes[1], 1)
        ends = sorted(rng.choices(range(1, top + 1), k=2))
        return rng.choice(
            [str(ends[0]), f"{ends[0]}:{ends[1]}", "1:*", "*", f"{ends[0]},{ends[1]}"]
        )

    while True:
        who = rng.randrange(2)
        uid = rng.choice(["", "UID "])
        flags = " ".join(rng.sample(FLAGS, rng.randint(0, 3)))
        message = rng.choice(list(SAMPLES))
        folder = rng.choice(FOLDERS)
        yield (
            who,
            rng.choices(
                [
                    f"{uid}STORE {numbers()} {rng.choice(['', '+', '-'])}FLAGS"
                    f"{rng.choice(['', '.SILENT'])} ({flags})",
                    f"{uid}STORE {numbers()} +FLAGS (\\Deleted)",
                    "EXPUNGE",
                    f"UID EXPUNGE {numbers()}",
                    f"{uid}COPY {numbers()} {folder}",
                    f"{uid}MOVE {numbers()} {folder}",
                    f"APPEND {folder} ({flags}) {message}",
                    f"SELECT {folder}",
                    "CLOSE",
                    "UNSELECT",
                    f"STATUS {folder} (MESSAGES UIDNEXT UNSEEN)",
                    f"{uid}SEARCH {search(rng, 2)}",
                    "NOOP",
                    "CHECK",
                    f"COPY {numbers()} INBOX.missing",
                ],
                [8, 3, 2, 1, 4, 3, 6, 3, 1, 1, 2, 6, 2, 1, 1],
            )[0],
        )


WORDS = ["ann", "example", "lunch", "noon", "words", "joe", "deep", "no such thing", "re:", "b"]
LEAVES = [
    *("ALL", "SEEN", "UNSEEN", "FLAGGED", "UNFLAGGED", "ANSWERED", "UNANSWERED", "DELETED"),
    *("DRAFT", "UNDRAFT", "UNDELETED", "KEYWORD work", "UNKEYWORD $Label1", "1:*", "UID 1:3"),
    *("UID 4:*", "LARGER 150", "SMALLER 300"),
    *("SINCE 1-Jan-2020", "BEFORE 1-Jan-2020", 'HEADER In-Reply-To ""'),
    'HEADER Message-ID "@example"',
]


def search(rng: random.Random, depth: int, *, negative: bool = True) -> str:
    """Return random search keys.

    An OR has one negative side at most: Dovecot 2.3 takes OR UNSEEN UNDELETED for neither. Without
    a date a message is of 1970 for Dovecot and matches no SENT... key for us: those are left out.
    """
    kind = rng.random()
    if depth and negative and kind < 0.15:
        return f"NOT ({search(rng, depth - 1)})"
    if depth and kind < 0.3:
        one, other = (
            search(rng, depth - 1, negative=negative),
            search(rng, depth - 1, negative=False),
        )
        return f"OR ({one}) ({other})"
    if depth and kind < 0.4:
        one, other = (search(rng, depth - 1, negative=negative) for _ in range(2))
        return f"{one} {other}"
    if kind < 0.65:
        key = rng.choice(["FROM", "TO", "CC", "SUBJECT", "BODY", "TEXT"])
        return f'{key} "{rng.choice(WORDS)}"'
    return rng.choice([leaf for leaf in LEAVES if negative or leaf[:2] != "UN"])


def run(client: Client, command: str) -> tuple[str, list[Value]]:
    """Run a command; the last word of APPEND names the message."""
    if not command.startswith("APPEND"):
        return client.run(command)
    head, _, name = command.rpartition(" ")
    message = SAMPLES[name]
    return client.run(
        f"{head} {{{len(message)}+}}\r\n" + message.decode("utf-8", "surrogateescape")
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_lockstep(seed: int, restante: Connect, oracle: Connect) -> None:
    pair = []
    for connect in (restante, oracle):
        clients = [Client(connect(f"random-{seed}")) for _ in range(2)]
        for folder in FOLDERS[1:]:
            clients[0].run(f"CREATE {folder}")
        pair.append(clients)
    steps = commands(random.Random(seed))
    history: list[str] = []
    for _ in range(150):
        who, command = next(steps)
        history.append(f"{who} {command}")
        ours, theirs = (run(clients[who], command) for clients in pair)
        empty = not pair[0][who].rows and "*" in command and "UID" not in command
        # "*" where there is no message: OK from us, BAD from Dovecot.
        assert ours == theirs or (empty and theirs[0] == "BAD "), history[-6:]
        for clients in pair:
            for client in clients:
                client.run("NOOP")
        for one, other in zip(*pair, strict=True):
            assert one.check() == other.check(), history[-6:]
    for clients in pair:
        for client in clients:
            client.wire.close()


@pytest.mark.parametrize("server", ["restante", "oracle"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sessions_that_lag_behind(seed: int, server: str, request: pytest.FixtureRequest) -> None:
    """Nobody says NOOP between the commands of others: numbers must mean the same nevertheless."""
    connect: Connect = request.getfixturevalue(server)
    clients = [Client(connect(f"lag-{seed}")) for _ in range(3)]
    for client in clients:
        for folder in FOLDERS[1:]:
            client.run(f"CREATE {folder}")
        client.run("SELECT INBOX")
    rng = random.Random(seed)
    steps = commands(rng)
    for step in range(400):
        client = rng.choice(clients)
        command = next(steps)[1]
        if command.startswith(("CLOSE", "UNSELECT", "SELECT")) and rng.random() < 0.7:
            command = "FETCH 1:* FLAGS"
        if command.startswith("APPEND") and rng.random() < 0.5:
            command = command.replace(command.split()[1], "INBOX")
        run(client, command)
        if not client.selected:
            client.run("SELECT INBOX")
        if step % 20 == 0:
            for each in clients:
                each.run("NOOP")
                each.check()
    for client in clients:
        client.wire.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_searches(seed: int, restante: Connect, oracle: Connect) -> None:
    messages = {**SAMPLES, **ODD}
    pair = []
    for connect in (restante, oracle):
        wire = connect(f"searches-{seed}")
        for at, message in enumerate(messages.values()):
            assert wire.append("INBOX", message, f"({FLAGS[at % len(FLAGS)]}) ").startswith(b"OK")
        wire.ok("SELECT INBOX")
        pair.append(wire)
    rng = random.Random(seed)
    words = re.findall(r"[a-z]{3,}", b" ".join(messages.values()).decode("latin-1"))
    for _ in range(150):
        WORDS[-1] = rng.choice(words)
        keys = search(rng, 3)
        ours, theirs = (
            [sorted(map(str, response(line))) for line in wire.ok(f"SEARCH {keys}")]
            for wire in pair
        )
        assert ours == theirs, keys
    for wire in pair:
        wire.close()
