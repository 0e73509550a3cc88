"""Accounts: the Maildir, its folders, subscriptions, special uses, quota, shared mailboxes."""

import os
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restante.model import INBOX, Account, ErrorKind, Flag, FolderName, MailError, Quota
from restante.store.account import AccountStore, FolderEntry, MailStore, QuotaState
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume

SPECIAL = ["Archive", "Drafts", "Junk", "Sent", "Trash"]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MailStore]:
    create_volume(tmp_path)
    store = MailStore(tmp_path, hints=Hints(), pool=StorePool(2))
    yield store
    await store.close()


@pytest.fixture
def fred(store: MailStore) -> AccountStore:
    return open_account(store)


def open_account(store: MailStore, quota: str = "", name: str = "fred") -> AccountStore:
    home = store.mail_root / "example.test" / name[:1] / name[:2] / name
    address = f"{name}@example.test"
    uid, gid = os.getuid(), os.getgid()
    account = store.open_account(
        Account(address, uid, gid, home, home / "Maildir", quota=Quota.parse(quota))
    )
    account.ensure()
    return account


def put(account: AccountStore, folder: FolderName = INBOX, data: bytes = b"x\r\n") -> None:
    message = Incoming(account)
    message.write(data)
    message.deliver(account, folder, last=True)


def names(account: AccountStore) -> list[str]:
    return ["/".join(entry.name) for entry in account.folders()]


def refused(kind: ErrorKind) -> pytest.RaisesExc[MailError]:
    return pytest.RaisesExc(MailError, check=lambda error: error.kind is kind)


# -- the Maildir ---------------------------------------------------------------------------------


def test_a_new_account(fred: AccountStore) -> None:
    assert fred.folders() == [
        FolderEntry(INBOX, None, subscribed=True, no_select=False),
        *(FolderEntry((n,), f"\\{n}", subscribed=True, no_select=False) for n in SPECIAL),
    ]
    assert fred.maildir.stat().st_mode & 0o777 == 0o700
    assert (fred.maildir / ".Sent" / "maildirfolder").exists()
    assert not (fred.maildir / "maildirfolder").exists()


def test_an_existing_maildir_is_left_alone(store: MailStore) -> None:
    home = store.mail_root / "h"
    for name in ("tmp", "new", "cur"):
        (home / "Maildir" / name).mkdir(parents=True)
    account = store.open_account(Account("h@x", os.getuid(), os.getgid(), home, home / "Maildir"))
    account.ensure()
    assert names(account) == [""]
    assert sorted(os.listdir(account.maildir)) == ["cur", "new", "tmp"]


def test_a_half_made_account_is_completed(store: MailStore, fred: AccountStore) -> None:
    """A crash in `ensure`: cur comes last."""
    (fred.maildir / "cur").rmdir()
    (fred.maildir / "new").rmdir()
    fred.ensure()
    assert (fred.maildir / "cur").is_dir()
    assert (fred.maildir / "new").is_dir()


def test_the_first_use_makes_it(store: MailStore) -> None:
    home = store.mail_root / "d" / "anna"
    account = store.open_account(Account("a@d", os.getuid(), os.getgid(), home, home / "Maildir"))
    assert names(account) == ["", *SPECIAL]


def test_made_by_many_at_once(store: MailStore) -> None:
    home = store.mail_root / "d" / "anna"
    account = store.open_account(Account("a@d", os.getuid(), os.getgid(), home, home / "Maildir"))
    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(account.ensure) for _ in range(16)]:
            job.result()
    assert names(account) == ["", *SPECIAL]
    assert len(account.subscriptions()) == 6


def test_nothing_is_made_on_an_unmounted_volume(store: MailStore) -> None:
    (store.mail_root / ".restante-volume").unlink()
    with refused(ErrorKind.TEMPORARY):
        open_account(store, name="anna")
    assert list(store.mail_root.iterdir()) == []


def test_one_object_per_address(store: MailStore, fred: AccountStore) -> None:
    again = open_account(store, "5000S")
    assert again is fred
    assert fred.account.quota == Quota(5000)
    moved = store.open_account(
        Account(fred.account.address, 1, 1, store.mail_root, store.mail_root / "elsewhere")
    )
    assert moved is not fred


# -- folders -------------------------------------------------------------------------------------


def test_create(fred: AccountStore) -> None:
    fred.create(("Ärger", "2026"))
    listed = {entry.name: entry for entry in fred.folders()}
    assert listed[("Ärger",)].no_select
    assert not listed[("Ärger", "2026")].no_select
    assert not listed[("Ärger", "2026")].subscribed
    assert (fred.maildir / ".Ärger.2026" / "cur").is_dir()
    fred.create(("Ärger",))
    assert not {entry.name: entry for entry in fred.folders()}[("Ärger",)].no_select
    assert fred.exists(("Ärger",))
    for name in (INBOX, ("Ärger",), ("Sent",)):
        with refused(ErrorKind.ALREADY_EXISTS):
            fred.create(name)


def test_an_old_spelling_counts(fred: AccountStore) -> None:
    for part in ("tmp", "new", "cur"):
        (fred.maildir / ".Entw&APw-rfe" / part).mkdir(parents=True)
    with refused(ErrorKind.ALREADY_EXISTS):
        fred.create(("Entwürfe",))
    put(fred, ("Entwürfe",))
    assert len(list((fred.maildir / ".Entw&APw-rfe" / "new").iterdir())) == 1
    fred.rename(("Entwürfe",), ("Konzepte",))
    assert (fred.maildir / ".Konzepte" / "new").is_dir()


def test_created_by_many_at_once(fred: AccountStore) -> None:
    def create(_: int) -> bool:
        try:
            fred.create(("Once",))
        except MailError as error:
            assert error.kind is ErrorKind.ALREADY_EXISTS
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, range(16)))
    assert sum(results) >= 1
    assert fred.exists(("Once",))


def test_delete(fred: AccountStore) -> None:
    fred.create(("A",))
    fred.create(("A", "B"))
    put(fred, ("A",))
    fred.delete(("A",))
    listed = {entry.name: entry for entry in fred.folders()}
    assert listed[("A",)].no_select
    assert not (fred.maildir / ".A").exists()
    assert list((fred.maildir / "tmp").iterdir()) == []
    for name in (("A",), ("Nothing",)):
        with refused(ErrorKind.NO_SUCH_FOLDER):
            fred.delete(name)
    with refused(ErrorKind.CANNOT):
        fred.delete(INBOX)
    fred.delete(("A", "B"))
    assert ("A",) not in {entry.name for entry in fred.folders()}
    with refused(ErrorKind.NO_SUCH_FOLDER):  # though its handle was just in use
        put(fred, ("A",))


def test_what_cannot_be_removed_now_is_out_of_sight(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network volume, where another host has a message open."""
    put(fred, ("Junk",))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        fred.delete(("Junk",))
    (grave,) = (fred.maildir / "tmp").iterdir()
    assert "Junk" not in names(fred)
    fred.create(("Junk",))
    os.utime(grave, (1, 1))
    fred.handles.close()
    put(fred)  # a delivery passes by and cleans
    assert not grave.exists()


def test_a_folder_made_again_has_a_higher_uidvalidity(fred: AccountStore) -> None:
    seen = []
    for _ in range(3):
        fred.create(("Again",))
        seen.append(fred.status(("Again",)).uidvalidity)
        fred.delete(("Again",))
    assert seen == sorted(set(seen))


def test_rename_takes_children_and_uids_along(fred: AccountStore) -> None:
    for name in (("A",), ("A", "B"), ("A", "B", "C"), ("AB",)):
        fred.create(name)
    put(fred, ("A", "B"))
    before = fred.status(("A", "B"))
    fred.rename(("A",), ("X", "Y"))
    assert names(fred) == ["", "AB", *SPECIAL, "X", "X/Y", "X/Y/B", "X/Y/B/C"]
    assert fred.status(("X", "Y", "B")) == before
    with refused(ErrorKind.NO_SUCH_FOLDER):
        fred.status(("A", "B"))


def test_rename_of_a_name_that_is_only_a_parent(fred: AccountStore) -> None:
    fred.create(("A", "B"))
    fred.rename(("A",), ("Z",))
    assert fred.exists(("Z", "B"))


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (("Nothing",), ("X",), ErrorKind.NO_SUCH_FOLDER),
        (("Sent",), ("Drafts",), ErrorKind.ALREADY_EXISTS),
        (("Sent",), ("Sent",), ErrorKind.ALREADY_EXISTS),
        (("Sent",), INBOX, ErrorKind.ALREADY_EXISTS),
        (("Sent",), ("Sent", "Old"), ErrorKind.CANNOT),
        (("Sent",), ("x" * 255,), ErrorKind.CANNOT),
    ],
)
def test_rename_refused(
    fred: AccountStore, old: FolderName, new: FolderName, kind: ErrorKind
) -> None:
    with refused(kind):
        fred.rename(old, new)
    assert names(fred) == ["", *SPECIAL]


def test_rename_onto_a_child_that_exists_moves_nothing(fred: AccountStore) -> None:
    for name in (("A",), ("A", "B"), ("Z", "B")):
        fred.create(name)
    with refused(ErrorKind.ALREADY_EXISTS):
        fred.rename(("A",), ("Z",))
    assert fred.exists(("A",))
    assert fred.exists(("A", "B"))


def test_rename_inbox_moves_its_messages(fred: AccountStore) -> None:
    for _ in range(3):
        put(fred)
    fred.rename(INBOX, ("Old",))
    assert fred.status(INBOX).messages == 0
    assert fred.status(("Old",)).messages == 3
    with refused(ErrorKind.ALREADY_EXISTS):
        fred.rename(INBOX, ("Old",))


# -- subscriptions and special uses ----------------------------------------------------------------


def test_subscriptions(fred: AccountStore) -> None:
    fred.subscribe(("Not", "there"))
    fred.subscribe(("Not", "there"))
    fred.unsubscribe(("Junk",))
    fred.unsubscribe(("Junk",))
    text = (fred.maildir / "courierimapsubscribed").read_text()
    assert text.splitlines() == [
        "INBOX",
        "INBOX.Drafts",
        "INBOX.Sent",
        "INBOX.Trash",
        "INBOX.Archive",
        "INBOX.Not.there",
    ]
    assert fred.subscriptions()[-1] == ("Not", "there")


def test_special_uses(fred: AccountStore) -> None:
    def uses() -> dict[FolderName, str | None]:
        return {e.name: e.special_use for e in fred.folders() if e.special_use}

    fred.create(("Gesendet",), special_use="\\Sent")
    fred.set_special_use(("Sent",), None)
    assert uses()[("Gesendet",)] == "\\Sent"
    assert ("Sent",) not in uses()
    fred.rename(("Gesendet",), ("Raus",))
    assert uses()[("Raus",)] == "\\Sent"
    fred.delete(("Raus",))
    fred.create(("Raus",))
    assert ("Raus",) not in uses()
    fred.delete(("Sent",))
    fred.create(("Sent",))  # a new folder of that name is what its name says
    assert uses()[("Sent",)] == "\\Sent"


# -- quota ---------------------------------------------------------------------------------------


def test_quota(store: MailStore) -> None:
    account = open_account(store, "1000S,10C")
    put(account, data=b"x" * 100)
    put(account, ("Sent",), data=b"x" * 50)
    put(account, ("Trash",), data=b"x" * 500)
    assert account.quota() == QuotaState(Quota(1000, 10), 150, 2)
    account.delete(("Sent",))
    assert account.quota() == QuotaState(Quota(1000, 10), 100, 1)
    account.rename(("Trash",), ("Rubbish",))
    assert account.quota().used_bytes == 600
    open_account(store, "")
    assert account.quota() == QuotaState(Quota(), 0, 0)
    assert not (account.maildir / "maildirsize").exists()  # for Courier: no quota
    put(account)
    assert not (account.maildir / "maildirsize").exists()


def test_the_mailbox_keeps_the_quota_file_right(store: MailStore) -> None:
    account = open_account(store, "1000S,10C")
    for _ in range(3):
        put(account, data=b"x" * 100)
    mailbox = account.open_mailbox(INBOX)
    mailbox.refresh()
    trash = account.open_mailbox(("Trash",))
    sent = account.open_mailbox(("Sent",))
    mailbox.copy([1], sent)
    assert account.quota() == QuotaState(Quota(1000, 10), 400, 4)
    mailbox.move([1], trash)
    assert account.quota() == QuotaState(Quota(1000, 10), 300, 3)
    mailbox.remove([2])
    assert account.quota() == QuotaState(Quota(1000, 10), 200, 2)
    for each in (mailbox, trash, sent):
        each.release()
    (account.maildir / "maildirsize").unlink()
    assert account.quota() == QuotaState(Quota(1000, 10), 200, 2)


# -- mailboxes -----------------------------------------------------------------------------------


def test_status(fred: AccountStore) -> None:
    put(fred, data=b"one\r\n")
    message = Incoming(fred)
    message.write(b"two\r\n\r\n")
    message.deliver(fred, flags=Flag.SEEN, last=True)
    status = fred.status(INBOX)
    assert (status.messages, status.unseen, status.size) == (2, 1, 12)
    assert status.uidnext == 3
    with refused(ErrorKind.NO_SUCH_FOLDER):
        fred.status(("Nothing",))


def test_a_mailbox_is_shared(fred: AccountStore) -> None:
    one, two = fred.open_mailbox(INBOX), fred.open_mailbox(INBOX)
    other = fred.open_mailbox(("Sent",))
    assert one is two is not other
    one.release()
    two.release()
    assert fred.open_mailbox(INBOX) is one  # kept warm
    one.release()
    other.release()


def test_a_folder_made_again_is_another_mailbox(fred: AccountStore) -> None:
    old = fred.open_mailbox(("Sent",))
    fred.delete(("Sent",))
    fred.create(("Sent",))
    new = fred.open_mailbox(("Sent",))
    assert new is not old
    for each in (old, new):
        each.release()


def test_a_failing_volume_is_temporary(fred: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(5, "EIO")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        for attempt in (
            fred.folders,
            fred.subscriptions,
            fred.quota,
            lambda: fred.create(("X",)),
            lambda: fred.open_mailbox(INBOX),
        ):
            with refused(ErrorKind.TEMPORARY):
                attempt()
