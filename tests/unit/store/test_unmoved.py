"""Opening a folder that has not moved: at once if nothing happened, never if anything did."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restante.model import INBOX, Account, Flag
from restante.store import nowait
from restante.store.account import AccountStore, MailStore
from restante.store.changes import StoreMode
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.volume import create_volume


def account_store(root: Path) -> AccountStore:
    """A store as another process would have it."""
    account = Account("a@example.test", os.getuid(), os.getgid(), root / "a", root / "a" / "M")
    return MailStore(root, hints=Hints()).open_account(account)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[AccountStore]:
    if not nowait.is_local(tmp_path):
        pytest.skip("the folder for temporary files is not on a local file system")
    create_volume(tmp_path)
    found = account_store(tmp_path)
    found.ensure()
    for number in range(3):
        deliver(found, f"message {number}")
    mailbox = found.open_mailbox(INBOX)
    # A listing within the tick of a change is not trusted for long (scan.py).
    while mailbox.index is None or not mailbox.index.cur_settled:
        mailbox.refresh(scan=True)
    assert unmoved(found)
    yield found
    mailbox.release()


def deliver(account: AccountStore, text: str) -> None:
    incoming = Incoming(account)
    incoming.write(text.encode())
    incoming.deliver(account, last=True)


def unmoved(account: AccountStore) -> bool:
    mailbox = account.open_unmoved(INBOX)
    if mailbox is None:
        return False
    mailbox.release()
    return True


def flag_elsewhere(account: AccountStore) -> None:
    other = account_store(account.store.mail_root)
    mailbox = other.open_mailbox(INBOX)
    mailbox.store(list(mailbox.uids)[:1], StoreMode.ADD, Flag.SEEN)
    mailbox.release()


def keyword_elsewhere(account: AccountStore) -> None:
    other = account_store(account.store.mail_root)
    mailbox = other.open_mailbox(INBOX)
    mailbox.store(list(mailbox.uids)[:1], StoreMode.ADD, Flag(0), ["word"])
    mailbox.release()


def rename_by_mutt(account: AccountStore) -> None:
    cur = account.maildir / "cur"
    name = sorted(os.listdir(cur))[0]
    (cur / name).rename(cur / (name + "F"))


def remove_by_hand(account: AccountStore) -> None:
    cur = account.maildir / "cur"
    (cur / sorted(os.listdir(cur))[0]).unlink()


def drop_by_exim(account: AccountStore) -> None:
    (account.maildir / "new" / "1700000000.M1P1.host").write_bytes(b"Subject: x\n\nx\n")


def delivery(account: AccountStore) -> None:
    deliver(account, "another")


def put_aside(account: AccountStore) -> None:
    account.maildir.rename(account.maildir.with_name("aside"))


def made_anew(account: AccountStore) -> None:
    put_aside(account)
    account_store(account.store.mail_root).ensure()


def other_index(account: AccountStore) -> None:
    index = account.maildir / "restante.index"
    index.rename(index.with_name("away"))


def test_nothing_happened(account: AccountStore) -> None:
    assert unmoved(account)
    assert unmoved(account)


@pytest.mark.parametrize(
    "happens",
    [
        delivery,
        drop_by_exim,
        rename_by_mutt,
        remove_by_hand,
        flag_elsewhere,
        keyword_elsewhere,
        put_aside,
        made_anew,
        other_index,
    ],
)
def test_something_happened(account: AccountStore, happens: Callable[[AccountStore], None]) -> None:
    happens(account)
    assert not unmoved(account)


def test_a_folder_that_this_process_does_not_have(account: AccountStore) -> None:
    other = account_store(account.store.mail_root)
    assert other.open_unmoved(INBOX) is None
    assert other.open_unmoved(("Nonsense",)) is None


def test_somebody_is_at_work(account: AccountStore) -> None:
    mailbox = account.open_mailbox(INBOX)
    with mailbox.turn():
        assert account.open_unmoved(INBOX) is None
    assert unmoved(account)
    mailbox.release()


def test_a_volume_elsewhere(account: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_below_root", None)
    assert not unmoved(account)
    assert account.read_cached(INBOX, b"cur/x") is None
