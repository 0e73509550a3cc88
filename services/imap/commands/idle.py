"""IDLE (RFC 2177): changes are told as they happen, until the client says DONE."""

from restante.wire.imap.commands import Idle
from services.imap.replies import Reply, bad, ok
from services.imap.session import Session


async def idle(session: Session, command: Idle) -> Reply:
    """RFC 2177. The folder is watched from the first IDLE until it is closed.

    Watched first, then looked at: what happens in between is seen by one of the two.
    """
    selected = session.selected
    if selected is not None:
        selected.last_body = None
        if selected.unwatch is None:
            selected.unwatch = selected.mailbox.watch(session.client.wake)
        await session.refresh(now=True)
    if await session.client.idle(session):
        return ok("Idle completed.")
    return bad("Expected DONE.")
