"""UIDs after an older state of the volume came back."""

import os
import shutil
from pathlib import Path

import pytest

from restante.model import INBOX, Flag
from restante.store.backup.numbers import JUMP, MODSEQ_JUMP, renumber
from restante.store.changes import StoreMode
from restante.store.mailbox import Mailbox
from tests.unit.store.backup.support import WORK, Backed
from tests.unit.store.support import contents


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    return Backed(tmp_path)


class Restored:
    """An account of which a copy was made, that went on, and that is the copy again."""

    def __init__(self, backed: Backed) -> None:
        self.volume = backed.volume
        copy = backed.root / "copy"
        shutil.copytree(self.volume.maildir, copy)
        self.told: dict[tuple[int, int], str] = {}
        for number in (50, 51):  # what clients saw after the copy
            backed.deliver(number)
            mailbox = self.volume.mailbox()
            mailbox.remove(list(mailbox.uids)[:1])
        self.note()
        shutil.rmtree(self.volume.maildir)
        shutil.copytree(copy, self.volume.maildir)

    def note(self) -> None:
        """Remember which UID was which message."""
        mailbox = self.volume.mailbox()
        for row, uid in enumerate(mailbox.uids):
            self.told.setdefault((mailbox.uidvalidity, uid), mailbox.base_name(row))

    def lies(self) -> list[int]:
        """Return the UIDs that mean other messages than what clients saw."""
        mailbox = self.volume.mailbox()
        return [
            uid
            for row, uid in enumerate(mailbox.uids)
            if self.told.get((mailbox.uidvalidity, uid), name := mailbox.base_name(row)) != name
        ]


def test_without_it_a_uid_means_two_messages(backed: Backed) -> None:
    """What is to be prevented, and that the check sees it."""
    restored = Restored(backed)
    backed.deliver(60)
    assert restored.lies() == [6]


@pytest.mark.parametrize("keep_uids", [False, True])
def test_no_uid_gets_another_meaning(backed: Backed, keep_uids: bool) -> None:
    old = backed.volume.mailbox()
    restored = Restored(backed)
    uidls = {old.uidl(row) for row in range(len(old))}
    backed.deliver(60)  # exim delivers while nobody serves: in new/, without a UID
    done = {
        folder.name: folder for folder in renumber(backed.volume.account(), keep_uids=keep_uids)
    }
    assert restored.lies() == []
    backed.deliver(61)
    assert restored.lies() == []
    mailbox = backed.volume.mailbox()
    assert (mailbox.uidvalidity == old.uidvalidity) is keep_uids
    assert done[INBOX].renewed is not keep_uids
    assert done[INBOX].messages == 6
    assert contents(mailbox)[1] == (Flag.SEEN | Flag.FLAGGED, {"red", "$Big"})
    assert uidls <= {mailbox.uidl(row) for row in range(len(mailbox))}
    if keep_uids:
        assert list(mailbox.uids) == [1, 2, 3, 4, 5, 6 + JUMP, 7 + JUMP]
        assert min(mailbox.modseqs) > MODSEQ_JUMP
        assert mailbox.vanished_since(3) is None


def test_sessions_that_are_open_notice_it(backed: Backed) -> None:
    session = backed.volume.mailbox()
    view = session.view()
    renumber(backed.volume.account())
    session.refresh()
    assert not view.valid
    assert len(session) == 5


def test_every_folder_gets_numbers_of_its_own(backed: Backed) -> None:
    before = max(
        backed.volume.mailbox(entry.name).uidvalidity
        for entry in backed.volume.account().folders()
        if not entry.no_select
    )
    done = renumber(backed.volume.account())
    assert len({folder.uidvalidity for folder in done}) == len(done) == 7
    assert min(folder.uidvalidity for folder in done) > before
    again = renumber(backed.volume.account())
    assert min(f.uidvalidity for f in again) > max(f.uidvalidity for f in done)


def test_what_a_copy_of_a_live_volume_caught_in_between(backed: Backed) -> None:
    """The index was copied before or after the files: some it does not know, some are not there."""
    volume = backed.volume
    names = volume.names()
    os.unlink(volume.maildir / "cur" / names[0])
    (volume.maildir / "cur" / "1700000000.copied:2,F").write_bytes(b"Subject: c\n\nc\n")
    index = volume.maildir / "restante.index"
    index.write_bytes(index.read_bytes()[:-40])  # in the middle of a record
    renumber(volume.account(), keep_uids=True)
    found = contents(volume.mailbox())
    assert len(found) == 5
    new = max(found)
    assert new > JUMP
    assert found[new] == (Flag.FLAGGED, set())


def test_the_quota_is_counted_anew(tmp_path: Path) -> None:
    backed = Backed(tmp_path, quota="100000S")
    size = backed.volume.account().quota().used_bytes
    os.unlink(backed.volume.maildir / "cur" / backed.volume.names()[0])
    renumber(backed.volume.account())
    assert 0 < backed.volume.account().quota().used_bytes < size


def test_where_uids_run_out_the_uidvalidity_changes(backed: Backed) -> None:
    mailbox = Mailbox(backed.volume.account(), WORK)
    with mailbox.turn() as turn:
        turn.index.uidnext = (1 << 32) - JUMP
        turn.restart()
        turn.next_modseq()
        turn.keyword_mask(["x"])
    done = {f.name: f for f in renumber(backed.volume.account(), keep_uids=True)}
    assert done[WORK].renewed
    assert not done[INBOX].renewed


def test_an_account_without_mail(backed: Backed) -> None:
    shutil.rmtree(backed.volume.root / "fred")
    assert renumber(backed.volume.account()) == []


def test_keywords_and_flags_can_be_changed_afterwards(backed: Backed) -> None:
    renumber(backed.volume.account(), keep_uids=True)
    mailbox = backed.volume.mailbox()
    result = mailbox.store([1], StoreMode.SET, Flag.DRAFT, ["blue"])
    assert result.changed
    assert contents(backed.volume.mailbox())[1] == (Flag.DRAFT, {"blue"})
