"""A volume with a backup beside it, and what must be the same after a restore."""

from dataclasses import dataclass
from pathlib import Path

from restante.model import INBOX, Flag, FolderName
from restante.store.backup.place import AccountPlace
from restante.store.backup.restore import Restored, Wanted, restore
from restante.store.backup.save import Saved, save
from restante.store.changes import StoreMode
from tests.unit.store.support import Volume, contents

WORK: FolderName = ("Work", "2026")


@dataclass
class Backed:
    """An account with five messages in INBOX and one in Work/2026, and a place for backups."""

    root: Path
    quota: str = ""

    def __post_init__(self) -> None:
        self.volume = Volume(self.root / "mail", self.quota)
        self.place = AccountPlace(self.root / "backup", "fred@example.test")
        for number in range(5):
            self.deliver(number)
        account = self.volume.account()
        account.create(WORK, special_use="\\Important")
        account.subscribe(WORK)
        self.deliver(100, WORK)
        self.volume.mailbox().store(
            [1, 2], StoreMode.SET, Flag.SEEN | Flag.FLAGGED, ["red", "$Big"]
        )

    def deliver(self, number: int, name: FolderName = INBOX) -> str:
        return self.volume.deliver(b"Subject: %d\r\n\r\nMessage %d.\r\n" % (number, number), name)

    def save(self, *, full: bool = False, keep: int = 0) -> Saved:
        return save(self.volume.account(), self.place, full=full, keep=keep)

    def restore(self, wanted: Wanted | None = None, at: str = "") -> Restored:
        run = self.place.choose(at)
        return restore(self.volume.account(), self.place, run, wanted or Wanted())

    def state(self) -> dict[FolderName, dict[bytes, tuple[Flag, frozenset[str], int, str]]]:
        """All messages by content, wherever a restore may have changed the UID."""
        found = {}
        for entry in self.volume.account().folders():
            if entry.no_select:
                continue
            mailbox = self.volume.mailbox(entry.name)
            found[entry.name] = {
                mailbox.read(uid): (
                    flags,
                    frozenset(words),
                    mailbox.dates[row],
                    mailbox.uidl(row),
                )
                for row, (uid, (flags, words)) in enumerate(contents(mailbox).items())
            }
        return found

    def uids(self, name: FolderName = INBOX) -> list[int]:
        return list(self.volume.mailbox(name).uids)
