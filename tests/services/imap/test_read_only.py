"""A login that may only read (an app password made so) changes nothing, in any way."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.imap.table import TABLE, Does
from tests.services.imap.samples import numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import text

REFUSED = b"NO [NOPERM] This login may read, and change nothing."


@pytest.fixture
def reader(server: Server) -> Server:
    """joe's mail as it was, and a login that may read it."""
    for message in numbered(2):
        server.deliver(message)
    with server.select() as wire:
        wire.ok("CREATE INBOX.Other")
        wire.ok("STORE 2 +FLAGS.SILENT \\Deleted")
    account = server.accounts.known["joe@example.test"]
    server.accounts.known["joe@example.test"] = replace(account, read_only=True)
    return server


def files(maildir: Path) -> list[str]:
    return sorted(str(p.relative_to(maildir)) for p in maildir.rglob("*") if p.is_file())


def test_select_is_examine(reader: Server) -> None:
    with reader.login() as wire:
        assert wire.run("SELECT INBOX")[-1] == b"OK [READ-ONLY] Select completed."
        assert wire.run("EXAMINE INBOX")[-1] == b"OK [READ-ONLY] Examine completed."


@pytest.mark.parametrize(
    "command",
    [
        "STORE 1 +FLAGS \\Seen",
        "UID STORE 1 -FLAGS \\Deleted",
        "COPY 1 INBOX.Other",
        "UID COPY 1 INBOX",
        "MOVE 1 INBOX.Other",
        "UID MOVE 1 INBOX.Other",
        "EXPUNGE",
        "UID EXPUNGE 1:*",
        "CREATE INBOX.New",
        "DELETE INBOX.Other",
        "RENAME INBOX.Other INBOX.New",
        "SUBSCRIBE INBOX.Other",
        "UNSUBSCRIBE INBOX.Other",
    ],
)
def test_what_changes_something_is_refused(command: str, reader: Server) -> None:
    before = files(reader.maildir())
    with reader.login() as wire:
        wire.ok("SELECT INBOX")
        assert wire.run(command) == [REFUSED]
    assert files(reader.maildir()) == before


def test_append_is_refused_before_and_after_its_message(reader: Server) -> None:
    with reader.login() as wire:
        assert wire.append("INBOX", b"Subject: x\r\n\r\nx\r\n") == REFUSED
        tag = wire.start("APPEND INBOX {10}")
        assert wire.until(tag) == [tag + b" " + REFUSED]
        wire.ok("NOOP")


def test_reading_sets_no_flag_and_close_removes_nothing(reader: Server) -> None:
    with reader.login() as wire:
        wire.ok("SELECT INBOX")
        assert "body 1" in text(wire.ok("FETCH 1 BODY[]"))
        assert b"\\Seen" not in wire.ok("FETCH 1 FLAGS")[0]
        assert wire.ok("SEARCH DELETED") == [b"* SEARCH 2"]
        wire.ok("CLOSE")
        wire.ok("SELECT INBOX")
        assert wire.ok("SEARCH ALL") == [b"* SEARCH 1 2"]


def test_mail_still_arrives(reader: Server) -> None:
    with reader.login() as wire:
        wire.ok("SELECT INBOX")
        reader.deliver(numbered(1)[0])
        assert b"* 3 EXISTS" in wire.ok("CHECK")


def test_every_command_that_changes_something_says_so() -> None:
    changing = {kind.name for kind, entry in TABLE.items() if Does.CHANGES in entry.does}
    assert changing == {
        "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "APPEND", "SETQUOTA",
        "EXPUNGE", "STORE", "COPY", "MOVE",
    }  # fmt: skip
