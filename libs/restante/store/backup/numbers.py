"""UIDs after mail came back from an older state (rule 22: they only rise, also then).

The state that came back knows UIDs up to some UIDNEXT; clients may have seen higher ones, for
messages that the old state does not have. Those must never mean other messages. Two ways:

- New UIDVALIDITYs (`renew_numbers`): what clients remember is void, they read the folders anew.
  Right whatever happened in between, also when services ran on the old state for a while.
- The same UIDVALIDITY, and a UIDNEXT that is JUMP above the old one (`jump_numbers`). A message has
  one UID for ever, so those of the old state are right as they are, and no folder takes in ten
  million messages between a backup and its restore. MODSEQs jump too, and every message counts as
  changed, so that clients with CONDSTORE read flags and removals again. Clients keep what they
  have. Only right when no session and no delivery saw the old state before: with all services
  stopped. A message that was removed after the backup is there again under its old UID; clients
  that only ask for UIDs above the last one they know do not notice it.

Either way the whole folder is listed afterwards: what a copy of a live volume caught in between
(files without records, records without files) gets new UIDs or is expunged then, never before.
The journal is replaced as always, so sessions that are open read it anew; with another UIDVALIDITY
they must select the folder again.
"""

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from restante.model import ErrorKind, FolderName, MailError
from restante.store import layout, maildirsize
from restante.store.accountfile import next_uidvalidity, note_uidvalidity
from restante.store.faults import as_mail_error
from restante.store.loading import rewrite
from restante.store.mailbox import Mailbox
from restante.store.reconcile import reconcile

if TYPE_CHECKING:
    from restante.store.account import AccountStore
    from restante.store.backup.place import SavedFolder
    from restante.store.transaction import Transaction

JUMP: Final = 10_000_000  # UIDs
MODSEQ_JUMP: Final = 1 << 40

_LAST_UID: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A folder after a restore."""

    name: FolderName
    uidvalidity: int
    uidnext: int
    messages: int
    renewed: bool  # it has a new UIDVALIDITY


def renumber(account: "AccountStore", *, keep_uids: bool = False) -> list[Renumbered]:
    """Make every folder's numbers right after the account came back from an older state. BLOCKING.

    keep_uids: jump instead of renewing. The quota is counted anew. Repeating it does no harm.
    MailError.
    """
    try:
        with account.acting(), layout.opened(account.maildir) as root:
            names = list(layout.list_folders(root))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise as_mail_error(error) from error
    done = [_folder(account, name, keep_uids) for name in names]
    if account.account.quota:
        try:
            with account.acting(), layout.opened(account.maildir) as root:
                maildirsize.recalculate(root, account.account.quota)
        except OSError as error:
            raise as_mail_error(error) from error
    return done


def _folder(account: "AccountStore", name: FolderName, keep_uids: bool) -> Renumbered:
    # Not by `open_mailbox`, which refreshes, and so gives out UIDs before the numbers are right.
    mailbox = Mailbox(account, name)
    try:
        with mailbox.turn() as turn:
            before = turn.index.uidvalidity
            if keep_uids and turn.uidnext + JUMP <= _LAST_UID:
                jump_numbers(turn)
                note_uidvalidity(account.maildir, before)
            else:
                renew_numbers(turn)
            reconcile(turn, force=True)
            index = turn.index
            count, validity = len(index.columns), index.uidvalidity
            done = Renumbered(name, validity, index.uidnext, count, validity != before)
    finally:
        mailbox.close()
    mailbox.publish()
    return done


def renew_numbers(turn: "Transaction") -> None:
    """Give a folder a UIDVALIDITY above every other of the account. OSError, MailError.

    UIDNEXT jumps, too, where it can: mbsync compares messages by UID when UIDVALIDITY has changed,
    goes on where all are the same, and gives up for good at the first that is another.
    """
    index = turn.index
    if index.uidnext + JUMP <= _LAST_UID:
        index.uidnext += JUMP
    index.uidvalidity = next_uidvalidity(
        turn.mailbox.owner.maildir, min(index.uidvalidity + 1, _LAST_UID)
    )
    _write(turn)


def jump_numbers(turn: "Transaction") -> None:
    """Put UIDNEXT and HIGHESTMODSEQ far above what anybody can have seen. OSError, MailError."""
    index = turn.index
    index.uidnext += JUMP
    index.highest_modseq += MODSEQ_JUMP
    columns = index.columns
    columns.modseqs = array("Q", [index.highest_modseq]) * len(columns)
    index.vanished = None
    index.vanished_floor = index.highest_modseq
    _write(turn)


def continue_numbers(turn: "Transaction", saved: "SavedFolder") -> None:
    """Let a folder that never had a message go on from where a backup was. OSError, MailError."""
    if saved.uidnext + JUMP > _LAST_UID:
        raise MailError(ErrorKind.CANNOT, "no UIDs are left: restore without the old ones")
    index = turn.index
    index.uidvalidity = saved.uidvalidity
    note_uidvalidity(turn.mailbox.owner.maildir, saved.uidvalidity)
    index.uidnext = saved.uidnext
    index.highest_modseq = max(index.highest_modseq, saved.modseq)
    jump_numbers(turn)


def _write(turn: "Transaction") -> None:
    """Put the changed index in the journal's place, and have everything looked at."""
    index = turn.index
    index.new_mtime = index.cur_mtime = -1
    index.new_settled = index.cur_settled = False
    rewrite(turn.mailbox, turn.journal, index)
    turn.restart()
