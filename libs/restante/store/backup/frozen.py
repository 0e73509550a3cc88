"""One moment of a whole account: all its folders locked together, their columns copied.

Why together: a message that moves from a folder that is still to be looked at to one that was
looked at already would be in neither. A MOVE holds both locks, a COPY puts the message into the
target before it leaves the source, so at one moment every message is somewhere.

Locks are taken in the order of folder names, as everywhere (mailbox.py). Each folder is brought up
to date before, so that they are held for a few milliseconds. Folders that come, go or are renamed
meanwhile are noticed by a second listing under the locks, and it begins again.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from restante.model import ErrorKind, FolderName, MailError
from restante.store import layout, subscriptions
from restante.store.accountfile import account_file
from restante.store.faults import GONE, as_mail_error
from restante.store.mailbox import Mailbox
from restante.store.reconcile import reconcile
from restante.store.scan import list_directory

if TYPE_CHECKING:
    from restante.store.account import AccountStore
    from restante.store.columns import Columns

_ATTEMPTS: Final = 10
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class FrozenFolder:
    """A folder as it was. `folder` is its directory, open until the Freezer is closed."""

    name: FolderName
    directory: str
    folder: int
    uidvalidity: int
    uidnext: int
    modseq: int
    keywords: tuple[str, ...]
    columns: "Columns"
    filenames: list[bytes]
    uidls: dict[int, bytes]

    def keywords_of(self, row: int) -> list[str]:
        """Return the keywords of a message."""
        bits = self.columns.keyword_bits[row]
        return [word for bit, word in enumerate(self.keywords) if bits >> bit & 1]


@dataclass(slots=True)
class Frozen:
    """An account as it was."""

    folders: list[FrozenFolder] = field(default_factory=list)
    subscriptions: list[FolderName] = field(default_factory=list)
    special_uses: dict[FolderName, str] = field(default_factory=dict)
    uidvalidity_mark: int = 0


class Freezer:
    """Takes moments of an account; keeps its folders open between them. Not thread-safe."""

    def __init__(self, account: "AccountStore") -> None:
        self._account = account
        self._mailboxes: dict[FolderName, Mailbox] = {}
        self._open: list[int] = []

    def close(self) -> None:
        """Give everything back."""
        self._close_directories()
        for mailbox in self._mailboxes.values():
            mailbox.release()
        self._mailboxes.clear()

    def _close_directories(self) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    @contextmanager
    def frozen(self) -> Iterator[Frozen]:
        """Give one moment; inside, all folders are locked. BLOCKING; MailError.

        The directories of the moment before are closed.
        """
        self._close_directories()
        for _ in range(_ATTEMPTS):
            names = self._names()
            with ExitStack() as locks:
                try:
                    self._follow(names)
                    moment = self._take(names, locks)
                except MailError as error:
                    if error.kind is not ErrorKind.NO_SUCH_FOLDER:
                        raise
                    continue
                if moment is not None:
                    yield moment
                    return
        raise MailError(ErrorKind.TEMPORARY, "the folders change all the time, try again")

    def _names(self) -> dict[FolderName, str]:
        try:
            with self._account.acting(), layout.opened(self._account.maildir) as root:
                return layout.list_folders(root)
        except OSError as error:
            raise as_mail_error(error) from error

    def _follow(self, names: dict[FolderName, str]) -> None:
        """Open what is new, let go what is gone or another directory now, bring all up to date."""
        for name in list(self._mailboxes):
            # Cheap, and a folder that was made anew must not be taken for the old one.
            self._mailboxes.pop(name).release()
        for name in names:
            mailbox = self._account.open_mailbox(name)
            self._mailboxes[name] = mailbox
            mailbox.refresh()

    def _take(self, names: dict[FolderName, str], locks: ExitStack) -> Frozen | None:
        moment = Frozen()
        for name in sorted(names):
            mailbox = self._mailboxes[name]
            turn = locks.enter_context(mailbox.turn())
            reconcile(turn)
            index = turn.index
            folder = os.dup(turn.folder)
            self._open.append(folder)
            moment.folders.append(
                FrozenFolder(
                    name,
                    names[name],
                    folder,
                    index.uidvalidity,
                    index.uidnext,
                    index.highest_modseq,
                    index.keywords,
                    index.columns.without((), index.columns.change),
                    index.all_filenames(),
                    dict(index.uidls or {}),
                )
            )
        if self._names() != names:
            self._close_directories()
            return None
        self._take_lists(moment)
        return moment

    def _take_lists(self, moment: Frozen) -> None:
        try:
            with self._account.acting(), layout.opened(self._account.maildir) as root:
                moment.subscriptions = subscriptions.subscriptions(root)
                moment.special_uses = subscriptions.special_uses(root)
                with account_file(root) as file:
                    moment.uidvalidity_mark = file.highest()
        except OSError as error:
            raise as_mail_error(error) from error


def open_message(frozen: FrozenFolder, row: int) -> int:
    """Open a message's file, wherever in its folder it is by now; -1: it has left. OSError.

    Without any lock: a name that leads nowhere is looked for by its base name in two listings.
    """
    name = b"cur/" + frozen.filenames[row]
    for attempt in range(3):
        try:
            return os.open(name, _READ, dir_fd=frozen.folder)
        except OSError as error:
            if error.errno not in GONE:
                raise
        if attempt < 2:
            base = frozen.columns.base(row)
            for directory in ("new", "cur"):
                for other in list_directory(frozen.folder, directory):
                    if other.partition(b":2,")[0] == base:
                        name = os.path.join(directory.encode(), other)
    return -1
