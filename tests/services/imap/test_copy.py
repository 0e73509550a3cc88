"""COPY, MOVE, EXPUNGE, UID EXPUNGE."""

import pytest

from tests.services.imap.samples import numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire, text


@pytest.fixture
def four(server: Server) -> Server:
    for message in numbered(4):
        server.deliver(message)
    return server


def subjects(wire: Wire, mailbox: str) -> list[str]:
    wire.ok(f"SELECT {mailbox}")
    lines = wire.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
    return [line.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for line in lines]


def expunges(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line.endswith(b" EXPUNGE")]


def uidvalidity(wire: Wire, mailbox: str) -> bytes:
    (line,) = wire.ok(f"STATUS {mailbox} (UIDVALIDITY)")
    return line.rpartition(b" ")[2].rstrip(b")")


def test_copy_with_copyuid(four: Server) -> None:
    with four.select() as wire:
        wire.ok("STORE 2 +FLAGS.SILENT (\\Flagged work)")
        valid = uidvalidity(wire, "INBOX.Archive")
        answer = wire.run("COPY 2:3 INBOX.Archive")[-1]
        assert answer.startswith(b"OK [COPYUID %b 2:3 1:2]" % valid)
        answer = wire.run("UID COPY 4,1 INBOX.Archive")[-1]
        assert answer.startswith(b"OK [COPYUID %b 1,4 3:4]" % valid)
        assert subjects(wire, "INBOX.Archive") == ["s2", "s3", "s1", "s4"]
        flags = text(wire.ok("FETCH 1 FLAGS"))
        assert "\\Flagged" in flags
        assert "work" in flags


def test_copy_onto_itself(four: Server) -> None:
    with four.select() as wire:
        lines = wire.run("COPY 1 INBOX")
        assert b"* 5 EXISTS" in lines
        assert b" 1 5]" in lines[-1]


def test_copy_to_nowhere_says_trycreate(four: Server) -> None:
    with four.select() as wire:
        assert wire.no("COPY 1 INBOX.Nowhere").startswith(b"NO [TRYCREATE]")
        assert wire.no("MOVE 1 INBOX.Nowhere").startswith(b"NO [TRYCREATE]")
        assert wire.no("UID COPY 99 INBOX.Nowhere").startswith(b"NO [TRYCREATE]")
        wire.ok("UID COPY 99 INBOX.Archive")
        wire.bad("COPY 99 INBOX.Archive")


def test_move(four: Server) -> None:
    with four.select() as wire:
        valid = uidvalidity(wire, "INBOX.Archive")
        lines = wire.run("MOVE 2:3 INBOX.Archive")
        assert lines[0].startswith(b"* OK [COPYUID %b 2:3 1:2]" % valid)
        assert lines[1:3] == [b"* 3 EXPUNGE", b"* 2 EXPUNGE"] or lines[1:3] == [
            b"* 2 EXPUNGE",
            b"* 2 EXPUNGE",
        ]
        assert subjects(wire, "INBOX") == ["s1", "s4"]
        assert subjects(wire, "INBOX.Archive") == ["s2", "s3"]


def test_uid_move(four: Server) -> None:
    with four.select() as wire:
        assert b"* 4 EXPUNGE" in wire.ok("UID MOVE 4 INBOX.Trash")
        assert wire.ok("UID MOVE 4 INBOX.Trash") == []
        assert subjects(wire, "INBOX.Trash") == ["s4"]


def test_copy_of_a_gone_message(four: Server) -> None:
    with four.select() as wire, four.select() as other:
        other.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        other.ok("EXPUNGE")
        assert wire.no("COPY 1:2 INBOX.Archive").startswith(b"NO [EXPUNGEISSUED]")
        assert subjects(wire, "INBOX.Archive") == []


def test_expunge(four: Server) -> None:
    with four.select() as wire, four.select() as other:
        wire.ok("STORE 1,3 +FLAGS.SILENT \\Deleted")
        expected = [b"* 1 EXPUNGE", b"* 2 EXPUNGE"]
        assert expunges(wire.ok("EXPUNGE")) == expected
        assert wire.ok("EXPUNGE") == []
        assert expunges(other.ok("NOOP")) == expected
        assert subjects(wire, "INBOX") == ["s2", "s4"]


def test_expunge_leaves_what_the_client_does_not_know(four: Server) -> None:
    with four.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        four.deliver(b"Subject: new\r\n\r\n\r\n")
        with four.select() as other:
            other.ok("STORE 5 +FLAGS.SILENT \\Deleted")
        assert b"* 1 EXPUNGE" in wire.ok("EXPUNGE")
        assert subjects(wire, "INBOX") == ["s2", "s3", "s4", "new"]


def test_uid_expunge(four: Server) -> None:
    with four.select() as wire:
        wire.ok("STORE 1:4 +FLAGS.SILENT \\Deleted")
        assert expunges(wire.ok("UID EXPUNGE 2:3,77")) == [b"* 2 EXPUNGE", b"* 2 EXPUNGE"]
        assert subjects(wire, "INBOX") == ["s1", "s4"]


def test_expunge_with_condstore_tells_the_modseq(four: Server) -> None:
    with four.select() as wire:
        wire.ok("ENABLE CONDSTORE")
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        assert wire.run("EXPUNGE")[-1].startswith(b"OK [HIGHESTMODSEQ ")
