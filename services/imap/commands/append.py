"""APPEND (RFC 3501 section 6.3.11) with APPENDUID (UIDPLUS, RFC 4315).

The message goes to the store in pieces as it comes and is never held whole, unless it is small:
then storing it is one trip to the pool. Whether the folder exists and the message fits is asked
before the client sends it.
"""

from typing import Final

from restante.model import ErrorKind, FolderName, MailError
from restante.store.account import AccountStore, QuotaState
from restante.store.delivery import Incoming
from restante.store.mailbox import Mailbox
from restante.wire.imap.commands import Append
from services.imap.replies import Reply, bad, ok
from services.imap.session import Session

_PIECE: Final = 128 * 1024


async def append(session: Session, command: Append) -> Reply:
    """RFC 3501 section 6.3.11."""
    if command.utf8 or command.binary:
        return bad("Neither UTF8 nor BINARY is supported.")
    name = session.folder(command.mailbox)
    mailbox = await session.blocking(_open, session.mail, name, command.size)
    incoming = Incoming(session.mail)
    try:
        pieces: list[bytes] = []
        held = 0
        async for chunk in session.client.message():
            pieces.append(chunk)
            held += len(chunk)
            if held >= _PIECE:
                await session.blocking(incoming.write, b"".join(pieces))
                pieces.clear()
                held = 0
        uid = await session.blocking(_store, mailbox, incoming, b"".join(pieces), command)
        validity = mailbox.uidvalidity
    except BaseException:
        await session.blocking(incoming.abort)
        raise
    finally:
        session.backend.give_back(mailbox)
    if session.selected is not None and session.selected.name == name:
        await session.refresh(now=True)
    return ok("Append completed.", f"APPENDUID {validity} {uid}")


def _open(store: AccountStore, name: FolderName, size: int) -> Mailbox:
    mailbox = store.open_mailbox(name)
    try:
        _check_room(store.quota(), size)
        mailbox.refresh()
    except BaseException:
        mailbox.release()
        raise
    return mailbox


def _check_room(quota: QuotaState, size: int) -> None:
    """Refuse what cannot fit before it is sent; the store counts again when it came."""
    limit = quota.limit
    if (limit.bytes and quota.used_bytes + size > limit.bytes) or (
        limit.messages and quota.used_messages + 1 > limit.messages
    ):
        raise MailError(ErrorKind.OVER_QUOTA, "The mailbox is full.")


def _store(mailbox: Mailbox, incoming: Incoming, rest: bytes, command: Append) -> int:
    if rest:
        incoming.write(rest)
    return mailbox.append(incoming, command.flags, command.keywords, command.date)
