"""What is missing comes back as it was; what is there is left alone; a restore may die anywhere."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restante.model import INBOX, ErrorKind, Flag, FolderName, MailError
from restante.store import layout, subscriptions
from restante.store.backup import numbers
from restante.store.backup import restore as restoring
from restante.store.backup.restore import Wanted
from restante.store.changes import StoreMode
from restante.store.verify import Grade, verify
from tests.faults.test_store_kill import die_at
from tests.unit.store.backup.support import WORK, Backed
from tests.unit.store.support import contents

TRASH: FolderName = ("Trash",)


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    backed = Backed(tmp_path)
    backed.save()
    return backed


def test_nothing_is_missing(backed: Backed) -> None:
    before = backed.state(), backed.uids()
    done = backed.restore()
    assert (done.saved, done.restored, done.made) == (6, 0, [])
    assert (backed.state(), backed.uids()) == before


def test_removed_messages_come_back_under_new_uids(backed: Backed) -> None:
    before = backed.state()
    backed.volume.mailbox().remove([1, 4])
    planned = backed.restore(Wanted(dry_run=True))
    assert (planned.restored, planned.folders) == (2, {INBOX: 2})
    assert backed.uids() == [2, 3, 5]
    done = backed.restore()
    assert (done.restored, done.folders) == (2, {INBOX: 2})
    assert backed.state() == before
    assert backed.uids() == [2, 3, 5, 6, 7]
    assert backed.restore().restored == 0
    assert backed.volume.names("tmp") == []


def test_a_deleted_folder_comes_back(backed: Backed) -> None:
    before = backed.state()
    old = backed.volume.mailbox(WORK).uidvalidity
    backed.volume.account().delete(WORK)
    backed.volume.account().unsubscribe(WORK)
    done = backed.restore(Wanted(folder=("Work",)))
    assert (done.restored, done.made) == (1, [WORK])
    assert backed.state() == before
    entry = next(e for e in backed.volume.account().folders() if e.name == WORK)
    assert (entry.special_use, entry.subscribed) == ("\\Important", True)
    assert backed.volume.mailbox(WORK).uidvalidity > old


def test_only_a_folder_and_only_later_messages(backed: Backed) -> None:
    backed.volume.mailbox().remove([1, 2])
    backed.volume.account().delete(WORK)
    dates = {row.uid: row.date for row in backed.place.read(backed.place.choose()).folders[0].rows}
    assert backed.restore(Wanted(folder=INBOX, since=dates[1] + 10)).restored == 0
    assert backed.restore(Wanted(folder=INBOX)).restored == 2
    assert not backed.volume.account().exists(WORK)
    with pytest.raises(MailError) as caught:
        backed.restore(Wanted(folder=("Nowhere",)))
    assert caught.value.kind is ErrorKind.NO_SUCH_FOLDER


def test_into_another_folder_comes_everything_once(backed: Backed) -> None:
    into: FolderName = ("Restored",)
    assert backed.restore(Wanted(into=into)).restored == 6
    assert len(backed.uids(into)) == 6
    assert backed.restore(Wanted(into=into)).restored == 0
    assert len(backed.uids()) == 5


def test_what_was_moved_or_copied_is_not_missing(backed: Backed) -> None:
    account = backed.volume.account()
    inbox, archive = account.open_mailbox(INBOX), account.open_mailbox(("Archive",))
    inbox.move([1], archive)
    inbox.copy([2], archive)
    inbox.remove([2])
    assert backed.restore().restored == 0


def test_a_copy_is_a_message_of_its_own(backed: Backed) -> None:
    """The folder is deleted; what its messages were copied from does not stand in for them."""
    account = backed.volume.account()
    account.open_mailbox(INBOX).copy([1, 2, 3], account.open_mailbox(WORK))
    backed.save()
    account.delete(WORK)
    assert backed.restore(Wanted(folder=WORK, dry_run=True)).restored == 4
    assert backed.restore(Wanted(folder=WORK)).folders == {WORK: 4}
    assert len(backed.uids(WORK)) == 4


def test_what_lies_in_trash_is_missing(backed: Backed) -> None:
    account = backed.volume.account()
    account.open_mailbox(INBOX).move([1, 2], account.open_mailbox(TRASH))
    assert backed.restore().restored == 2
    assert len(backed.uids()) == 5
    assert len(backed.uids(TRASH)) == 2
    assert backed.restore().restored == 0


def test_two_equal_messages_are_two(tmp_path: Path) -> None:
    backed = Backed(tmp_path)
    backed.deliver(9)
    backed.deliver(9)
    date = 1_600_000_000
    for name in backed.volume.names("new"):
        os.utime(backed.volume.maildir / "new" / name, (date, date))
    backed.save()
    backed.volume.mailbox().remove([6])
    assert backed.restore().restored == 1
    backed.volume.mailbox().remove([7, 8])
    assert backed.restore().restored == 2


@pytest.mark.parametrize("keep_uids", [False, True])
def test_a_lost_account_comes_back(backed: Backed, keep_uids: bool) -> None:
    before = backed.state()
    validity = {name: backed.volume.mailbox(name).uidvalidity for name in before}
    account = backed.volume.account()
    account.unsubscribe(("Junk",))
    backed.save()
    shutil.rmtree(backed.volume.root / "fred")
    done = backed.restore(Wanted(keep_uids=keep_uids))
    assert done.restored == 6
    assert backed.state() == before
    for name, old in validity.items():
        mailbox = backed.volume.mailbox(name)
        if keep_uids and len(mailbox):
            assert mailbox.uidvalidity == old
            assert mailbox.uidnext > numbers.JUMP
            assert list(mailbox.uids) == ([1, 2, 3, 4, 5] if name == INBOX else [1])
        elif len(mailbox):
            assert mailbox.uidvalidity > old
    with layout.opened(backed.volume.maildir) as root:
        assert WORK in subscriptions.subscriptions(root)
    backed.deliver(50)
    assert backed.uids()[-1] == (numbers.JUMP + 6 if keep_uids else 6)
    assert backed.restore(Wanted(keep_uids=keep_uids)).restored == 0
    assert [f for f in verify(backed.volume.account()).flaws if f.grade is not Grade.NOTE] == []


def test_uids_are_only_kept_where_there_were_none(backed: Backed) -> None:
    """A mailbox that took mail since has given out UIDs of its own."""
    shutil.rmtree(backed.volume.root / "fred")
    backed.volume.account().ensure()
    backed.deliver(50)
    backed.volume.mailbox()
    backed.restore(Wanted(keep_uids=True))
    mailbox = backed.volume.mailbox()
    assert (list(mailbox.uids), mailbox.uidnext) == ([1, 2, 3, 4, 5, 6], 7)


def test_never_over_quota_silently(tmp_path: Path) -> None:
    backed = Backed(tmp_path, quota="7C")
    backed.save()
    backed.volume.mailbox().remove([1, 2])
    backed.deliver(20)
    backed.deliver(21)
    with pytest.raises(MailError) as caught:
        backed.restore()
    assert caught.value.kind is ErrorKind.OVER_QUOTA
    assert len(backed.uids()) == 5
    assert backed.restore(Wanted(over_quota=True)).restored == 2
    assert backed.volume.account().quota().used_messages == 8


def test_a_damaged_message_is_left_out_and_told(backed: Backed) -> None:
    run = backed.place.choose()
    row = backed.place.read(run).folders[0].rows[0]
    with open(backed.place.tar(run), "r+b") as file:
        file.seek(row.offset)
        file.write(b"!")
    backed.volume.mailbox().remove([1, 2])
    done = backed.restore()
    assert (done.restored, done.damaged) == (1, 1)
    assert backed.volume.names("tmp") == []


def test_imported_uidls_come_back(backed: Backed) -> None:
    volume = backed.volume
    for name in volume.maildir.glob("restante.*"):
        name.unlink()
    names = volume.names()
    lines = [f"/2 1 {len(names)}\n"]
    lines = [f"2 {len(names)} 1\n"] + [
        f"{name.partition(':')[0]} {number} {number}:1\n" for number, name in enumerate(names, 1)
    ]
    (volume.maildir / "courierpop3dsizelist").write_text("".join(lines))
    mailbox = volume.mailbox()
    before = [mailbox.uidl(row) for row in range(len(mailbox))]
    backed.save(full=True)
    mailbox.remove(list(mailbox.uids))
    backed.restore()
    mailbox = volume.mailbox()
    assert [mailbox.uidl(row) for row in range(len(mailbox))] == before


def test_a_full_disk_leaves_nothing_behind(backed: Backed, monkeypatch: pytest.MonkeyPatch) -> None:
    backed.volume.mailbox().remove([1, 2, 3])
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if b"Message 2" in bytes(data):
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(MailError):
            backed.restore()
    assert backed.uids() == [4, 5]
    assert backed.volume.names("tmp") == []
    assert backed.restore().restored == 3


# --- a death at any change ----------------------------------------------------------------------

Prepare = Callable[[Backed], object]


def _messages(backed: Backed) -> object:
    return backed.volume.mailbox().remove([1, 2, 4])


def _folder(backed: Backed) -> object:
    backed.volume.account().delete(WORK)
    return None


def _account(backed: Backed) -> object:
    shutil.rmtree(backed.volume.root / "fred")
    return None


def dying(root: Path, prepare: Prepare, wanted: Wanted, step: int) -> Iterator[list[str]]:
    """Restore and die at each n-th change; then again, whole. Yields what is wrong then."""
    for at in itertools.count(0, step):
        backed = Backed(root / str(at))
        backed.save()
        wished = backed.state()
        told = {uid: mailbox_base(backed, uid) for uid in backed.uids()}
        validity = backed.volume.mailbox().uidvalidity
        prepare(backed)
        child = os.fork()
        if not child:
            code = 3
            with contextlib.suppress(BaseException):
                vars(restoring)["_WRITERS"] = 1
                die_at(at, torn=bool(at % 2))
                backed.restore(wanted)
                code = 0
            os._exit(code)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in {0, -signal.SIGKILL}
        problems = []
        with contextlib.suppress(MailError):  # a Maildir that is only half made
            for texts in backed.state().values():  # whatever is there is whole
                if not texts.keys() <= {text for known in wished.values() for text in known}:
                    problems.append(f"torn: {texts.keys()}")
        backed.restore(wanted)
        if backed.state() != wished:
            problems.append(f"{backed.state()} is not {wished}")
        if backed.restore(wanted).restored:
            problems.append("a third run restored something")
        mailbox = backed.volume.mailbox()
        if mailbox.uidvalidity == validity:
            for row, uid in enumerate(mailbox.uids):
                if told.get(uid, mailbox.base_name(row)) != mailbox.base_name(row):
                    problems.append(f"UID {uid} was {told[uid]}")
        problems += [
            flaw.text
            for flaw in verify(backed.volume.account(), deep=True).flaws
            if flaw.grade is not Grade.NOTE
        ]
        yield problems
        shutil.rmtree(root / str(at))
        if code == 0:
            assert at > 3
            return


def mailbox_base(backed: Backed, uid: int) -> str:
    mailbox = backed.volume.mailbox()
    return mailbox.base_name(mailbox.find(uid))


@pytest.mark.parametrize(
    ("prepare", "wanted", "step"),
    [
        (_messages, Wanted(), 1),
        (_folder, Wanted(), 1),
        (_account, Wanted(), 7),
        (_account, Wanted(keep_uids=True), 7),
    ],
    ids=["messages", "folder", "account", "account, same UIDs"],
)
def test_a_restore_may_die_at_any_change(
    tmp_path: Path, prepare: Prepare, wanted: Wanted, step: int
) -> None:
    assert [found for found in dying(tmp_path, prepare, wanted, step) if found] == []


def test_a_restore_that_reuses_uids_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known-bad variant: messages take the lowest UIDs that are free."""
    real = restoring._Folder._record

    def reuse(turn: Any, rows: list[Any], *, keep: bool) -> Any:
        turn.index.columns = turn.index.columns.without(
            range(len(turn.index.columns)), turn.index.columns.change
        )
        turn.index.uidnext = turn.uidnext = 1
        return real(turn, rows, keep=keep)

    monkeypatch.setattr(restoring._Folder, "_record", staticmethod(reuse))
    assert any(found for found in dying(tmp_path, _messages, Wanted(), 50))


def test_flags_that_changed_since_stay(backed: Backed) -> None:
    backed.volume.mailbox().store([3], StoreMode.SET, Flag.ANSWERED, ["mine"])
    backed.volume.mailbox().remove([4])
    backed.restore()
    assert contents(backed.volume.mailbox())[3] == (Flag.ANSWERED, {"mine"})
