"""Views: sequence numbers, withheld expunges, changed flags, \\Recent, watching."""

import asyncio
from pathlib import Path

import pytest

from restante.model import Flag
from restante.store.changes import StoreMode, Updates
from tests.unit.store.support import Volume


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path)
    for _ in range(5):
        volume.deliver()
    return volume


def test_numbers(volume: Volume) -> None:
    mailbox = volume.mailbox()
    view = mailbox.view()
    assert (view.count, view.uid_at(1), view.uid_at(5)) == (5, 1, 5)
    assert (view.seq_of(4), view.seq_of(9)) == (4, None)
    for seq in (0, 6):
        with pytest.raises(IndexError):
            view.uid_at(seq)
    assert not view.pending()
    assert not view.poll(expunge=True)


def test_expunges_are_withheld_and_new_mail_waits_behind_them(volume: Volume) -> None:
    mailbox = volume.mailbox()
    view, other = mailbox.view(), mailbox.view()
    mailbox.remove([2, 4])
    volume.deliver()
    mailbox.refresh()
    mailbox.store([1, 4, 6], StoreMode.ADD, Flag.SEEN)
    assert view.pending()
    assert view.poll(expunge=False) == Updates(changed=[1])
    assert (view.count, view.uid_at(2), view.seq_of(6)) == (5, 2, None)
    assert view.pending()
    assert view.poll(expunge=True) == Updates([2, 3], [2, 4], 4, 4)
    assert list(view.uids()) == [1, 3, 5, 6]
    assert other.poll(expunge=True) == Updates([2, 3], [2, 4], 4, None, [1])
    assert not view.pending()


def test_many_steps_become_one_update(volume: Volume) -> None:
    mailbox = volume.mailbox()
    view = mailbox.view()
    mailbox.remove([5])
    mailbox.store([1], StoreMode.ADD, Flag.SEEN)
    mailbox.remove([1])
    mailbox.store([3], StoreMode.ADD, Flag.SEEN)
    mailbox.store([3], StoreMode.ADD, Flag.FLAGGED)
    mailbox.remove([2])
    assert view.poll(expunge=True) == Updates([1, 1, 3], [1, 2, 5], None, 2, [3])


def test_own_change_is_known_by_its_modseq(volume: Volume) -> None:
    mailbox = volume.mailbox()
    result = mailbox.store([1, 2], StoreMode.ADD, Flag.SEEN)
    assert [mailbox.modseqs[mailbox.find(uid)] for uid in (1, 2)] == [result.modseq] * 2
    assert mailbox.store([1, 2], StoreMode.ADD, Flag.SEEN).changed == []
    guarded = mailbox.store([1, 3], StoreMode.ADD, Flag.FLAGGED, unchanged_since=result.modseq - 1)
    assert (guarded.changed, guarded.modified) == ([3], [1])


def test_recent_belongs_to_one_session(volume: Volume) -> None:
    mailbox = volume.mailbox()
    assert mailbox.recent == 5
    peek = mailbox.view(readonly=True)
    first, second = mailbox.view(), mailbox.view()
    assert (peek.recent, first.recent, second.recent, mailbox.recent) == (5, 5, 0, 0)
    assert first.is_recent(3)
    assert not second.is_recent(3)
    volume.deliver()
    mailbox.refresh()
    assert second.poll(expunge=True).recent == 1
    assert first.poll(expunge=True) == Updates(exists=6)
    mailbox.remove([1, 6])
    assert first.poll(expunge=True).recent == 4
    assert second.poll(expunge=True).recent == 0
    mailbox.refresh()
    assert volume.mailbox().view().recent == 0, "the claim went into the journal"


def test_vanished_since(volume: Volume) -> None:
    mailbox = volume.mailbox()
    before = mailbox.highest_modseq
    mailbox.remove([2])
    between = mailbox.highest_modseq
    mailbox.remove([1, 4])
    for opened in (mailbox, volume.mailbox()):
        assert opened.vanished_since(before) == [1, 2, 4]
        assert opened.vanished_since(between) == [1, 4]
        assert opened.vanished_since(opened.highest_modseq) == []
        assert opened.vanished_since(0) is None


def test_closed_view_holds_nothing(volume: Volume) -> None:
    mailbox = volume.mailbox()
    view = mailbox.view()
    view.close()
    assert view.count == view.recent == 0


async def test_watchers_hear_of_every_change(volume: Volume) -> None:
    mailbox = await asyncio.to_thread(volume.mailbox)
    heard = asyncio.Event()
    end = mailbox.watch(heard.set)
    await asyncio.to_thread(mailbox.store, [1], StoreMode.ADD, Flag.SEEN)
    await asyncio.wait_for(heard.wait(), 5)
    heard.clear()
    await asyncio.to_thread(mailbox.refresh)
    end()
    end()
    await asyncio.to_thread(mailbox.remove, [1])
    await asyncio.sleep(0)
    assert not heard.is_set()


async def test_a_watched_folder_refreshes_itself(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    account = volume.account()
    account.store.hints._buckets = [set()]  # a rescan every second
    mailbox = await asyncio.to_thread(account.open_mailbox, ())
    heard = asyncio.Event()
    end = mailbox.watch(heard.set)
    volume.deliver()
    await asyncio.wait_for(heard.wait(), 10)
    assert list(mailbox.uids) == [1]
    end()
    mailbox.release()
    await account.store.close()
