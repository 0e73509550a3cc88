"""COPY, MOVE and APPEND where something is in the way; what they do to the quota."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from restante.model import Account, ErrorKind, Flag, MailError
from restante.store.changes import StoreMode
from restante.store.layout import opened
from restante.store.mailbox import Mailbox
from restante.store.tmpfiles import clean_tmp
from tests.unit.store.support import MESSAGE, Volume, contents

ARCHIVE = ("Archive",)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path)
    for _ in range(3):
        volume.deliver()
    return volume


def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, fail)


def test_copy_where_there_can_be_no_link(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    inbox.store([1], StoreMode.SET, Flag.SEEN, ["red"])
    failing(monkeypatch, "link", errno.EXDEV)
    assert inbox.copy([1, 2], archive) == [(1, 1), (2, 2)]
    assert archive.read(1) == MESSAGE
    assert contents(archive) == {1: (Flag.SEEN, {"red"}), 2: (Flag(0), set())}
    assert list(archive.dates) == [inbox.dates[0], inbox.dates[1]]
    assert volume.names("tmp", ARCHIVE) == []


def test_copy_and_move_find_what_mutt_renamed(volume: Volume) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    cur = volume.maildir / "cur"
    for uid in (1, 2):
        base = inbox.base_name(uid - 1)
        os.rename(cur / f"{base}:2,", cur / f"{base}:2,F")
    assert inbox.copy([1, 3], archive) == [(1, 2), (3, 1)]
    assert inbox.move([2], archive) == [(2, 3)]
    assert contents(archive)[3] == (Flag.FLAGGED, set())
    assert len(volume.mailbox()) == 2


def test_copy_and_move_leave_out_what_is_gone(volume: Volume) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    for name in volume.names()[:1]:
        os.unlink(volume.maildir / "cur" / name)
    gone = next(uid for uid in (1, 2, 3) if inbox.base_name(uid - 1) in name)
    left = [uid for uid in (1, 2, 3) if uid != gone]
    assert [old for old, _ in inbox.copy([1, 2, 3, 77], archive)] == left
    assert [old for old, _ in inbox.move([1, 2, 3, 77], archive)] == left
    inbox.refresh(scan=True)
    assert len(inbox) == 0
    assert len(archive) == 4


def test_a_copy_that_fails_copies_nothing(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    real, calls = os.link, []

    def link(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.EIO, "I/O error")
        real(*args, **kwargs)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(MailError) as caught:
        inbox.copy([1, 2, 3], archive)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert volume.names("cur", ARCHIVE) == []
    archive.refresh(scan=True)
    assert len(archive) == 0


def test_moving_there_and_back_keeps_the_name(volume: Volume) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    other = volume.mailbox()
    other.columns.index_bases()
    base = inbox.base_name(1)
    assert inbox.move([2], archive) == [(2, 1)]
    assert archive.move([1], inbox) == [(1, 4)]
    assert inbox.base_name(2) == base
    other.refresh(scan=True)
    assert contents(other) == contents(inbox)
    assert other.columns.uid_of_base(os.fsencode(base)) == 4


def test_keywords_that_the_target_cannot_take_are_left_behind(volume: Volume) -> None:
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    volume.deliver(name=ARCHIVE)
    archive.refresh()
    archive.store([1], StoreMode.SET, Flag(0), [f"k{n}" for n in range(63)])
    inbox.store([1], StoreMode.SET, Flag(0), ["a", "b"])
    inbox.store([2], StoreMode.SET, Flag(0), ["k5"])
    pairs = dict(inbox.copy([1, 2], archive))
    assert contents(archive)[pairs[1]] == (Flag(0), {"a"})
    assert contents(archive)[pairs[2]] == (Flag(0), {"k5"})


def test_move_to_another_account(volume: Volume) -> None:
    inbox = volume.mailbox()
    home = volume.root / "ann"
    ann = inbox.owner.store.open_account(
        Account("ann@example.test", os.getuid(), os.getgid(), home, home / "Maildir")
    )
    ann.ensure()
    target = Mailbox.open(ann, ())
    inbox.store([1], StoreMode.SET, Flag.SEEN, ["red"])
    assert inbox.move([1, 2], target) == [(1, 1), (2, 2)]
    assert contents(target) == {1: (Flag.SEEN, {"red"}), 2: (Flag(0), set())}
    assert list(inbox.uids) == [3]


def test_quota_follows_flags_copies_and_removals(tmp_path: Path) -> None:
    volume = Volume(tmp_path, "300S,100C")
    account = volume.account()
    size = len(MESSAGE) - 3  # with LF

    def used() -> tuple[int, int]:
        state = account.quota()
        return state.used_bytes, state.used_messages

    for _ in range(3):
        volume.deliver()
    inbox, archive = volume.mailbox(), volume.mailbox(ARCHIVE)
    trash = volume.mailbox(("Trash",))
    assert used() == (3 * size, 3)
    inbox.store([1, 2], StoreMode.ADD, Flag.DELETED)
    assert used() == (size, 1)
    inbox.store([2], StoreMode.REMOVE, Flag.DELETED)
    assert used() == (2 * size, 2)
    inbox.expunge()
    assert used() == (2 * size, 2)
    inbox.copy([2, 3], archive)
    assert used() == (4 * size, 4)
    archive.remove([1])
    assert used() == (3 * size, 3)
    inbox.move([2], trash)
    assert used() == (2 * size, 2)
    inbox.move([3], archive)
    assert used() == (2 * size, 2)
    trash.move([1], inbox)
    assert used() == (3 * size, 3)
    archive.copy(list(archive.uids), inbox)
    archive.copy(list(archive.uids), inbox)
    archive.copy(list(archive.uids), inbox)
    with pytest.raises(MailError) as caught:
        inbox.copy(list(inbox.uids), archive)
    assert caught.value.kind is ErrorKind.OVER_QUOTA
    assert used() == (9 * size, 9)


def test_first_opening_that_died_imports_again(volume: Volume) -> None:
    (volume.maildir / "courierimapuiddb").write_text("1 555 90\n")
    mailbox = volume.mailbox()
    path = volume.maildir / "restante.index"
    path.write_bytes(bytes(192) + path.read_bytes()[192:-32])
    assert volume.mailbox().uidvalidity == mailbox.uidvalidity == 555
    assert list(volume.mailbox().uids) == [90, 91, 92]


def test_an_old_date_does_not_make_a_message_in_tmp_old(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody cleans tmp/ while a message from 1970 is on its way."""
    inbox = volume.mailbox()
    real = os.rename

    def rename(*args: Any, **kwargs: Any) -> None:
        with opened(volume.maildir / "tmp") as tmp:
            clean_tmp(tmp)
        real(*args, **kwargs)

    monkeypatch.setattr(os, "rename", rename)
    uid = inbox.append(volume.incoming(), Flag.SEEN, (), 1000)
    assert inbox.dates[inbox.find(uid)] == 1000
    assert inbox.read(uid) == MESSAGE
