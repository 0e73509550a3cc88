"""Commands of any state: CAPABILITY, NOOP, LOGOUT (RFC 3501 section 6.1), ID (RFC 2971)."""

from typing import Final

from restante.runtime.log import get_logger
from restante.wire.imap import response, untagged
from restante.wire.imap.commands import Capability, Id, Logout, Noop
from services.imap.capabilities import capabilities
from services.imap.replies import Reply, ok
from services.imap.session import Session

_ID_FIELDS: Final = 30  # RFC 2971 section 3.3 allows no more

_NAME: Final = 80  # characters that `restante who` shows

_log = get_logger(__name__)


async def capability(session: Session, command: Capability) -> Reply:
    """RFC 3501 section 6.1.1: exactly what is served now."""
    session.send(untagged.capability(capabilities(session)))
    return ok("Capability completed.")


async def noop(session: Session, command: Noop) -> Reply:
    """RFC 3501 section 6.1.2: the client's way to poll, so the disk is looked at now."""
    await session.refresh(now=True)
    return ok("NOOP completed.")


async def logout(session: Session, command: Logout) -> Reply:
    """RFC 3501 section 6.1.3."""
    session.unselect()
    session.ending = True
    session.send(response.bye("Logging out"))
    return ok("Logout completed.")


async def identify(session: Session, command: Id) -> Reply:
    """RFC 2971. What the client says of itself goes to the log, bounded and escaped there."""
    if command.fields:
        said = {
            name.decode("latin-1"): (value or b"").decode("utf-8", "replace")
            for name, value in command.fields[:_ID_FIELDS]
        }
        _log.info(
            "client",
            session=session.client.session,
            user=session.user,
            **{f"id_{n[:30]}": v for n, v in said.items()},
        )
        session.client.note(client=_name(said))
    session.send(untagged.identity({"name": "Restante"}))
    return ok("ID completed.")


def _name(said: dict[str, str]) -> str:
    """Return "Name 1.2" of an ID's fields."""
    fields = {name.lower(): value for name, value in said.items()}
    words = (fields.get("name", ""), fields.get("version", ""))
    return " ".join(filter(None, words))[:_NAME]
