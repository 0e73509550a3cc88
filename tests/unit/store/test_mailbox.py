"""Mailbox: the operations of IMAP and POP3 on one folder, seen from two processes."""

from pathlib import Path

import pytest

from restante.model import ErrorKind, Flag, MailError
from restante.store.changes import StoreMode
from tests.unit.store.support import MESSAGE, Volume, contents


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_new_mail_gets_uids_in_order_of_delivery(volume: Volume) -> None:
    bases = [volume.deliver() for _ in range(5)]
    mailbox = volume.mailbox()
    assert list(mailbox.uids) == [1, 2, 3, 4, 5]
    assert [mailbox.base_name(row) for row in range(5)] == bases
    assert mailbox.uidnext == 6
    assert list(mailbox.wire_sizes) == [len(MESSAGE)] * 5
    assert volume.names("new") == []


def test_names_of_other_programs_are_sorted_by_time_then_name(volume: Volume) -> None:
    volume.drop("20.M5P1.host")
    volume.drop("20.M40P1.host,S=1")
    volume.drop("3.b")
    volume.drop("3.a")
    mailbox = volume.mailbox()
    assert [mailbox.base_name(row) for row in range(4)] == [
        "3.a",
        "3.b",
        "20.M5P1.host",
        "20.M40P1.host,S=1",
    ]
    assert list(mailbox.wire_sizes) == [17] * 4, "a wrong S= is not believed"


def test_another_process_sees_everything(volume: Volume) -> None:
    for _ in range(3):
        volume.deliver()
    one, two = volume.mailbox(), volume.mailbox()
    one.store([1, 2], StoreMode.SET, Flag.SEEN, ["work"])
    one.store([2], StoreMode.ADD, Flag.DELETED, ["later"])
    one.expunge()
    assert two.refresh()
    assert contents(two) == contents(one) == {1: (Flag.SEEN, {"work"}), 3: (Flag(0), set())}
    assert contents(volume.mailbox()) == contents(one)
    assert two.uidvalidity == one.uidvalidity
    assert not two.refresh()


def test_keywords_are_limited(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    mailbox.store([1], StoreMode.SET, Flag(0), [f"k{n}" for n in range(64)])
    with pytest.raises(MailError) as caught:
        mailbox.store([1], StoreMode.ADD, Flag(0), ["one-more"])
    assert caught.value.kind is ErrorKind.LIMIT
    assert mailbox.store([1], StoreMode.SET, Flag(0), ["K1"]).changed == [1]
    assert contents(mailbox) == {1: (Flag(0), {"k1"})}


def test_append_copy_move_read(volume: Volume) -> None:
    inbox, sent = volume.mailbox(), volume.mailbox(("Sent",))
    uid = inbox.append(volume.incoming(), Flag.DRAFT, ["a"], 86400)
    assert (uid, inbox.dates[0], contents(inbox)) == (1, 86400, {1: (Flag.DRAFT, {"a"})})
    assert inbox.copy([1, 9], sent) == [(1, 1)]
    assert sent.read(1) == MESSAGE
    assert inbox.move([1], sent) == [(1, 2)]
    assert contents(sent) == {1: (Flag.DRAFT, {"a"}), 2: (Flag.DRAFT, {"a"})}
    assert list(sent.dates) == [86400, 86400]
    assert contents(inbox) == {}
    with pytest.raises(MailError) as caught:
        inbox.read(1)
    assert caught.value.kind is ErrorKind.GONE
    assert volume.names("tmp", ("Sent",)) == []
