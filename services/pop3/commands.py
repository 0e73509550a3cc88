"""The commands of POP3 in one table, and the handlers of all but logging in (see login.py)."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from restante.model import ErrorKind, MailError
from restante.wire.pop3 import Command, error, listing, message_chunks, ok, top_of
from services.pop3 import login, metrics
from services.pop3.session import AUTHORIZATION, TRANSACTION, Entry, Reply, Session, Then

_WHOLE: Final = 64 * 1024  # a message up to this size is sent in one piece
_MANY: Final = 2000  # lines of a listing from which on it is made outside of the loop
_LOOK_AHEAD: Final = 64  # commands of a burst that are searched for messages to read next


# --- in either state ------------------------------------------------------------------------


async def capa(session: Session, command: Command) -> bytes:
    """CAPA (RFC 2449 section 5): what is offered here and now."""
    settings = session.backend.settings
    lines = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"]
    lines.append(f"EXPIRE {settings.expire.upper()}")
    if settings.login_delay:
        lines.append(f"LOGIN-DELAY {settings.login_delay}")
    if login.may_use_password(session):
        lines.append("USER")
    if offers := login.offers(session):
        lines.append(f"SASL {' '.join(offers)}")
    if session.backend.tls_available and not session.peer.tls:
        lines.append("STLS")
    lines += ["UTF8 USER", "LANG", "IMPLEMENTATION Restante"]
    return listing("Capability list follows", lines)


async def utf8(session: Session, command: Command) -> bytes:
    """UTF8 (RFC 6856 section 2).

    Messages are sent as they are stored either way, as other servers do: refusing a header with
    8-bit octets, which is mostly old mail in a local charset, would stop the client for good.
    The RFC wants the command before login; Outlook sends it after, and Courier lets it.
    """
    if command.argument:
        raise MailError(ErrorKind.BAD_REQUEST, "Invalid command.")
    return ok("UTF8 enabled")


async def lang(session: Session, command: Command) -> bytes:
    """LANG (RFC 6856 section 3): texts are English."""
    wanted = command.argument
    if not wanted:
        return listing("Language listing follows:", ["en English"])
    if wanted == "*" or wanted.lower() == "en" or wanted.lower().startswith("en-"):
        return ok("en English it is")
    return error("That language is not there")


async def noop(session: Session, command: Command) -> bytes:
    """NOOP."""
    return ok()


# --- AUTHORIZATION ------------------------------------------------------------------------------


async def stls(session: Session, command: Command) -> bytes:
    """STLS (RFC 2595 section 4): the connection does the handshake after this reply."""
    if session.peer.tls:
        return error("TLS is active already.")
    if not session.backend.tls_available:
        return error("TLS support not available.")
    session.then = Then.START_TLS
    return ok("Begin TLS negotiation now.")


# --- TRANSACTION ----------------------------------------------------------------------------------


async def stat(session: Session, command: Command) -> bytes:
    """STAT: number and octets of the messages."""
    count, octets = session.mailbox.total()
    return ok(f"{count} {octets}")


async def list_(session: Session, command: Command) -> bytes:
    """LIST [number]: sizes."""
    drop = session.mailbox
    if command.argument:
        number = _number(session, command.argument)
        return ok(f"{number} {drop.size(number)}")
    return await _listing(session, "scan listing follows", drop.size)


async def uidl(session: Session, command: Command) -> bytes:
    """UIDL [number]: unique ids, the same at every replica and kept from Courier and Dovecot."""
    drop = session.mailbox
    if command.argument:
        number = _number(session, command.argument)
        return ok(f"{number} {drop.uidl(number)}")
    return await _listing(session, "unique-id listing follows", drop.uidl)


async def retr(session: Session, command: Command) -> Reply:
    """RETR number: the whole message."""
    number = _number(session, command.argument)
    wire = await _message(session, number)
    if session.backend.settings.mark_seen and not session.read_only:
        session.mailbox.mark_retrieved(number)
    session.counts.retrieved += 1
    return _sent(session, f"{len(wire)} octets follow.", wire)


async def top(session: Session, command: Command) -> Reply:
    """TOP number lines: the header and that many lines of the body. Does not mark as read."""
    words = command.words
    if len(words) != 2 or not (words[1].isascii() and words[1].isdigit()):
        raise MailError(ErrorKind.BAD_REQUEST, "Two numbers are needed.")
    number = _number(session, words[0])
    wire = await _message(session, number)
    session.counts.top += 1
    return _sent(session, "headers follow.", top_of(wire, int(words[1][:9])))


async def dele(session: Session, command: Command) -> bytes:
    """DELE number: marked, removed at QUIT."""
    if session.read_only:
        return error("This login may read, and change nothing.")
    session.mailbox.delete(_number(session, command.argument))
    return ok("Deleted.")


async def rset(session: Session, command: Command) -> bytes:
    """RSET: nothing is marked deleted any more."""
    session.mailbox.reset()
    return ok("Resurrected.")


async def quit_(session: Session, command: Command) -> bytes:
    """QUIT: the UPDATE state after a login (RFC 1939 section 6), else just the end."""
    session.then = Then.CLOSE
    if session.maildrop is None or not session.maildrop.has_update:
        return ok("Bye-bye.")
    try:
        session.counts.deleted = await session.backend.blocking(
            partial(session.maildrop.finish, update=True), session.maildrop.identity
        )
    except MailError:
        return error("Some deleted messages were not removed.", "SYS/TEMP")
    return ok("Bye-bye.")


_A, _T = AUTHORIZATION, TRANSACTION

TABLE: Final[dict[str, Entry]] = {
    # in either state
    "CAPA": Entry(capa, _A | _T),
    "LANG": Entry(lang, _A | _T),
    "NOOP": Entry(noop, _A | _T),
    "QUIT": Entry(quit_, _A | _T),
    "UTF8": Entry(utf8, _A | _T),
    # before the login
    "AUTH": Entry(login.auth, _A),
    "PASS": Entry(login.password, _A),
    "STLS": Entry(stls, _A),
    "USER": Entry(login.user, _A),
    # after it
    "DELE": Entry(dele, _T),
    "LIST": Entry(list_, _T),
    "RETR": Entry(retr, _T),
    "RSET": Entry(rset, _T),
    "STAT": Entry(stat, _T),
    "TOP": Entry(top, _T),
    "UIDL": Entry(uidl, _T),
}
metrics.know(TABLE)


# --- what the handlers share --------------------------------------------------------------------


def _number(session: Session, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise MailError(ErrorKind.BAD_REQUEST, "Invalid message number.")
    number = int(text)
    session.mailbox.check(number)
    return number


async def _listing(session: Session, text: str, value: Callable[[int], object]) -> bytes:
    drop = session.mailbox

    def everything() -> bytes:
        return listing(text, (f"{n} {value(n)}" for n in drop.numbers()))

    if drop.count < _MANY:
        return everything()
    return await session.backend.blocking(everything)


async def _message(session: Session, number: int) -> bytes:
    drop = session.mailbox
    wire = drop.take(number) or drop.read_cached(number)
    if wire is None:
        plan = drop.plan(number, _asked_ahead(session))
        try:
            wire = await session.backend.blocking(partial(drop.fetch, plan), drop.identity)
        except MailError as fault:
            if fault.kind is ErrorKind.GONE:
                raise MailError(ErrorKind.GONE, "The message is gone.") from None
            raise
    return wire


def _asked_ahead(session: Session) -> Iterator[int]:
    """The messages that commands waiting in the pipeline ask for."""
    for command in session.burst[session.position : session.position + _LOOK_AHEAD]:
        if type(command) is Command and command.name in ("RETR", "TOP"):
            first = command.argument.partition(" ")[0]
            if first.isascii() and first.isdigit() and len(first) <= 10:
                yield int(first)


def _sent(session: Session, text: str, wire: bytes) -> Reply:
    session.counts.octets += len(wire)
    if len(wire) <= _WHOLE:
        return b"".join((ok(text), *message_chunks(wire)))
    return _stream(text, wire)


def _stream(text: str, wire: bytes) -> Iterator[bytes]:
    yield ok(text)
    yield from message_chunks(wire)
