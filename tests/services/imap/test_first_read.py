r"""The log says once, by which session, a message was read first: where \Seen is new."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from restante.runtime import log
from restante.store.changes import NAMED
from restante.store.names import message_id
from tests.services.imap.samples import PLAIN
from tests.services.imap.server import Server


@pytest.fixture
def lines(server: Server) -> Iterator[list[str]]:
    """The log's lines from now on."""
    made: list[str] = []
    log.configure("info", "console", made.append)
    yield made
    log.configure("info", "console")


def reads(lines: list[str]) -> list[dict[str, Any]]:
    return [dict(re.findall(r" (\w+)=(\S+)", line)) for line in lines if " first read " in line]


def test_a_body_that_is_fetched(server: Server, lines: list[str]) -> None:
    id = message_id(server.deliver(PLAIN))
    with server.select() as wire, server.select() as other:
        wire.ok("FETCH 1 (ENVELOPE BODY.PEEK[])")
        assert not reads(lines)
        wire.ok("FETCH 1 BODY[]")
        (read,) = reads(lines)
        session = read.pop("session")
        assert read == {
            "id": id,
            "user": "joe@example.test",
            "service": "imap",
            "folder": "INBOX",
        }
        assert re.fullmatch("[0-9a-f]{16,}", session)
        assert any(f" login session={session} " in line for line in lines)
        other.ok("FETCH 1 BODY[TEXT]")
        wire.ok("STORE 1 +FLAGS (\\Seen)")
        assert len(reads(lines)) == 1


def test_a_copy_has_the_id_of_its_message(server: Server, lines: list[str]) -> None:
    id = message_id(server.deliver(PLAIN))
    with server.select() as wire:
        wire.ok("CREATE INBOX.Kept")
        wire.ok("COPY 1 INBOX.Kept")
        wire.ok("SELECT INBOX.Kept")
        wire.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
    assert [(read["id"], read["folder"]) for read in reads(lines)] == [(id, "Kept")]


def test_other_flags_and_an_appended_message(server: Server, lines: list[str]) -> None:
    with server.select() as wire:
        for number in (1, 2):
            wire.send(b"a%d APPEND INBOX {%d+}\r\n%b\r\n" % (number, len(PLAIN), PLAIN))
            while not wire.line().startswith(b"a%d OK" % number):
                pass
        wire.ok("STORE 1:2 +FLAGS (\\Flagged)")
        assert not reads(lines)
        wire.ok("STORE 1:2 FLAGS (\\Seen \\Flagged)")
        assert len({read["id"] for read in reads(lines)}) == 2


def test_many_at_once_are_counted(server: Server, lines: list[str]) -> None:
    for _ in range(NAMED + 17):
        server.deliver(PLAIN)
    with server.select() as wire:
        wire.ok("FETCH 1:* BODY[]")
        found = reads(lines)
        assert len(found) == NAMED + 1
        assert found[-1]["more"] == "17"
        assert "id" not in found[-1]
        wire.ok("FETCH 1:* (FLAGS BODY[HEADER])")
        assert len(reads(lines)) == NAMED + 1
    server.deliver(PLAIN)
    with server.select() as wire:
        wire.ok("FETCH * BODY[]")
    assert "more" not in reads(lines)[-1]
