"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 section 6.3, RFC 6154).

RENAME of INBOX moves its messages into a new folder and leaves INBOX empty, its children where
they are (RFC 3501 section 6.3.5).
"""

from typing import Final

from restante.wire.imap import response
from restante.wire.imap.commands import Create, Delete, Rename, Subscribe, Unsubscribe
from services.imap.replies import Reply, no, ok
from services.imap.session import Session

_USES: Final = frozenset(("\\Drafts", "\\Sent", "\\Junk", "\\Trash", "\\Archive"))


async def create(session: Session, command: Create) -> Reply:
    """RFC 3501 section 6.3.3, with USE of RFC 6154 section 3."""
    name = session.folder(command.mailbox, create=True)
    uses = command.special_use
    if len(uses) > 1 or not _USES.issuperset(uses):
        return no("That special use is not supported.", "USEATTR")
    await session.blocking(session.mail.create, name, special_use=uses[0] if uses else None)
    return ok("Create completed.")


async def delete(session: Session, command: Delete) -> Reply:
    """RFC 3501 section 6.3.4. Sessions that have the folder selected find it empty."""
    name = session.folder(command.mailbox)
    if session.selected is not None and session.selected.name == name:
        session.unselect()
        session.send(response.ok(None, "The selected mailbox is being deleted.", "CLOSED"))
    await session.blocking(session.mail.delete, name)
    return ok("Delete completed.")


async def rename(session: Session, command: Rename) -> Reply:
    """RFC 3501 section 6.3.5."""
    source = session.folder(command.source)
    target = session.folder(command.target, create=True)
    selected = session.selected
    if selected is not None and source and selected.name[: len(source)] == source:
        session.unselect()
        session.send(response.ok(None, "The selected mailbox is being renamed.", "CLOSED"))
    await session.blocking(session.mail.rename, source, target)
    return ok("Rename completed.")


async def subscribe(session: Session, command: Subscribe) -> Reply:
    """RFC 3501 section 6.3.6: the folder need not exist."""
    await session.blocking(session.mail.subscribe, session.folder(command.mailbox))
    return ok("Subscribe completed.")


async def unsubscribe(session: Session, command: Unsubscribe) -> Reply:
    """RFC 3501 section 6.3.7."""
    await session.blocking(session.mail.unsubscribe, session.folder(command.mailbox))
    return ok("Unsubscribe completed.")
