"""A mail volume with one account, for tests of the store."""

import os
from dataclasses import dataclass
from pathlib import Path

from restante.model import INBOX, NO_FLAGS, Account, Flag, FolderName, Quota
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.mailbox import Mailbox
from restante.store.volume import create_volume

MESSAGE = b"Subject: test\r\n\r\nA line.\r\n"


@dataclass
class Volume:
    """A volume below `root`; every `account()` is another process's view of the same account."""

    root: Path
    quota: str = ""

    def __post_init__(self) -> None:
        create_volume(self.root)
        self.account().ensure()

    @property
    def maildir(self) -> Path:
        return self.root / "fred" / "Maildir"

    def account(self) -> AccountStore:
        store = MailStore(self.root, hints=Hints())
        return store.open_account(
            Account(
                "fred@example.test",
                os.getuid(),
                os.getgid(),
                self.root / "fred",
                self.maildir,
                quota=Quota.parse(self.quota),
            )
        )

    def folder(self, name: FolderName = INBOX) -> Path:
        return self.maildir / ("." + ".".join(name)) if name else self.maildir

    def mailbox(self, name: FolderName = INBOX) -> Mailbox:
        """Open a folder as a new process would: with nothing in memory."""
        return Mailbox.open(self.account(), name)

    def deliver(self, text: bytes = MESSAGE, name: FolderName = INBOX) -> str:
        """Deliver a message and return its base name."""
        return self.incoming(text).deliver(self.account(), name, last=True).base

    def incoming(self, text: bytes = MESSAGE) -> Incoming:
        incoming = Incoming(self.account())
        incoming.write(text)
        return incoming

    def drop(
        self,
        filename: str | bytes,
        text: bytes = b"Subject: x\n\nx\n",
        *,
        where: str = "new",
        name: FolderName = INBOX,
    ) -> None:
        """Write a file as another program would, without a look at our files."""
        folder = os.fsencode(self.folder(name))
        path = os.path.join(folder, where.encode(), os.fsencode(filename))
        temporary = os.path.join(folder, b"tmp", os.fsencode(filename))
        with open(temporary, "wb") as file:
            file.write(text)
        os.rename(temporary, path)

    def names(self, where: str = "cur", name: FolderName = INBOX) -> list[str]:
        return sorted(os.listdir(self.folder(name) / where))


def contents(mailbox: Mailbox) -> dict[int, tuple[Flag, set[str]]]:
    """Return flags and keywords by UID."""
    columns = mailbox.columns
    words = mailbox.keywords
    return {
        uid: (
            Flag(columns.flags[row]) or NO_FLAGS,
            {w for bit, w in enumerate(words) if columns.keyword_bits[row] >> bit & 1},
        )
        for row, uid in enumerate(columns.uids)
    }
