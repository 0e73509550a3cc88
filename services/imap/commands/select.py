"""SELECT, EXAMINE (RFC 3501 section 6.3.1, RFC 7162), CHECK, CLOSE, UNSELECT (RFC 3691).

Opening, refreshing and numbering are one trip to the pool, none for a folder that the process
holds and that has not moved; everything told comes from columns, and no message is read.
"""

import asyncio

from restante.model import FolderName
from restante.store.account import AccountStore
from restante.store.mailbox import Mailbox
from restante.wire.imap import response
from restante.wire.imap.commands import Check, Close, Select, Unselect
from services.imap.replies import Reply, bad, ok
from services.imap.selected import Selected
from services.imap.session import Session


async def select(session: Session, command: Select) -> Reply:
    """RFC 3501 section 6.3.1. A failed SELECT leaves no mailbox selected."""
    if command.qresync is not None:
        return bad("QRESYNC is not enabled.")
    if session.selected is not None:
        session.unselect()
        # RFC 7162 section 3.2.11
        session.send(response.ok(None, "Previous mailbox closed.", "CLOSED"))
    name = session.folder(command.mailbox)
    mailbox = session.mail.open_unmoved(name)
    if mailbox is None:
        mailbox = await session.blocking(_open, session.mail, name)
    now = asyncio.get_running_loop().time()
    readonly = command.examine or session.read_only
    selected = Selected(mailbox, readonly=readonly, now=now)
    session.select(selected)
    if command.condstore:
        session.condstore = True
    count = selected.view.count
    unseen = selected.first_unseen()
    session.send(
        b"%b* %d EXISTS\r\n* %d RECENT\r\n" % (selected.flags_lines(), count, selected.view.recent)
    )
    if unseen:
        session.send(b"* OK [UNSEEN %d] First unseen\r\n" % unseen)
    session.send(
        b"* OK [UIDVALIDITY %d] UIDs valid\r\n"
        b"* OK [UIDNEXT %d] Predicted next UID\r\n"
        b"* OK [HIGHESTMODSEQ %d] Highest\r\n"
        % (mailbox.uidvalidity, mailbox.uidnext, mailbox.highest_modseq)
    )
    word = "Examine" if command.examine else "Select"
    return ok(f"{word} completed.", "READ-ONLY" if readonly else "READ-WRITE")


def _open(store: AccountStore, name: FolderName) -> Mailbox:
    mailbox = store.open_mailbox(name)
    try:
        mailbox.refresh()
    except BaseException:
        mailbox.release()
        raise
    return mailbox


async def check(session: Session, command: Check) -> Reply:
    """RFC 3501 section 6.4.1: every change is durable already, so this is a NOOP."""
    await session.refresh(now=True)
    return ok("Check completed.")


async def close(session: Session, command: Close) -> Reply:
    r"""RFC 3501 section 6.4.2: remove what is \Deleted, tell nothing, deselect."""
    selected = session.box
    if not selected.readonly:
        # Only what this session has seen: a message that came \Deleted meanwhile stays.
        doomed = selected.deleted(selected.view.uids())
        if doomed:
            await session.blocking(selected.mailbox.expunge, doomed)
    session.unselect()
    return ok("Close completed.")


async def unselect(session: Session, command: Unselect) -> Reply:
    """RFC 3691: deselect and remove nothing."""
    session.unselect()
    return ok("Unselect completed.")
