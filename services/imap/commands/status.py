"""STATUS (RFC 3501 section 6.3.10, STATUS=SIZE RFC 8438, HIGHESTMODSEQ RFC 7162)."""

from restante.model import FolderName
from restante.wire.imap import untagged
from restante.wire.imap.commands import Status, StatusItem
from services.imap.replies import Reply, ok
from services.imap.session import Session


async def status(session: Session, command: Status) -> Reply:
    """RFC 3501 section 6.3.10. Works for the selected mailbox too."""
    session.send(await status_line(session, session.folder(command.mailbox), command.items))
    return ok("Status completed.")


async def status_line(session: Session, name: FolderName, items: StatusItem) -> bytes:
    """Return "* STATUS ..." of a folder; for LIST RETURN (STATUS ...) as well (RFC 5819)."""
    if items & StatusItem.HIGHESTMODSEQ:
        session.condstore = True
    found = await session.blocking(session.mail.status, name)
    values = (
        (StatusItem.MESSAGES, "MESSAGES", found.messages),
        (StatusItem.RECENT, "RECENT", found.recent),
        (StatusItem.UIDNEXT, "UIDNEXT", found.uidnext),
        (StatusItem.UIDVALIDITY, "UIDVALIDITY", found.uidvalidity),
        (StatusItem.UNSEEN, "UNSEEN", found.unseen),
        (StatusItem.SIZE, "SIZE", found.size),
        (StatusItem.HIGHESTMODSEQ, "HIGHESTMODSEQ", found.highest_modseq),
    )
    shown = [(word, value) for item, word, value in values if items & item]
    return untagged.status(session.shown(name), shown)
