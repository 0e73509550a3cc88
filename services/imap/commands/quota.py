"""GETQUOTA, GETQUOTAROOT, SETQUOTA (QUOTA, RFC 9208).

An account has one quota root, "" as most servers name it. Limits are set by the administrator.
"""

from typing import Final

from restante.model import ErrorKind, MailError
from restante.wire.imap import untagged
from restante.wire.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from services.imap.replies import Reply, no, ok
from services.imap.session import Session

_ROOT: Final = b""
_UNIT: Final = 1024  # octets of STORAGE


async def get_quota(session: Session, command: GetQuota) -> Reply:
    """RFC 9208 section 4.1.2."""
    if command.root != _ROOT:
        raise MailError(ErrorKind.NOT_FOUND, "There is no such quota root.")
    await _tell(session)
    return ok("Getquota completed.")


async def get_quota_root(session: Session, command: GetQuotaRoot) -> Reply:
    """RFC 9208 section 4.1.3. The mailbox need not exist: its root would be the same."""
    name = session.folder(command.mailbox)
    session.send(untagged.quota_root(session.shown(name), (_ROOT,)))
    await _tell(session)
    return ok("Getquotaroot completed.")


async def set_quota(session: Session, command: SetQuota) -> Reply:
    """RFC 9208 section 4.1.4: refused, the administrator does that."""
    return no("Quotas are set by the administrator.", "NOPERM")


async def _tell(session: Session) -> None:
    state = await session.blocking(session.mail.quota)
    resources = []
    if state.limit.bytes:
        used, limit = -(-state.used_bytes // _UNIT), state.limit.bytes // _UNIT
        resources.append(("STORAGE", used, limit))
    if state.limit.messages:
        resources.append(("MESSAGE", state.used_messages, state.limit.messages))
    session.send(untagged.quota(_ROOT, resources))
