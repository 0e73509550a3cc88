"""Logging in: USER and PASS (RFC 1939 section 7), AUTH (RFC 5034), and the rules behind both.

Courier's words are kept where clients and support desks know them. One Authenticate call per
login; the mailbox is opened in the same breath, so that +OK means that STAT will work.
"""

from functools import partial

from restante.model import Account, ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.wire.pop3 import Command, error, ok
from restante.wire.sasl import MECHANISMS, Challenge, Exchange, SaslError, Step
from services.pop3.session import Session, Then, refusal

_log = get_logger(__name__)


async def user(session: Session, command: Command) -> bytes:
    """USER name: the password follows. Says nothing about whether the name exists."""
    _require_privacy(session)
    if not command.argument:
        raise MailError(ErrorKind.BAD_REQUEST, "A name is needed.")
    session.user = command.argument
    return ok("Password required.")


async def password(session: Session, command: Command) -> bytes:
    """PASS string: everything after the blank, inner and outer blanks included."""
    _require_privacy(session)
    name, session.user = session.user, ""
    if not name or not command.raw_argument:
        raise MailError(ErrorKind.BAD_REQUEST, "USER/PASS required.")
    return await _log_in(session, name, command.raw_argument, "plain", "Login failed.")


async def auth(session: Session, command: Command) -> bytes:
    """AUTH mechanism [initial-response]; AUTH alone lists the mechanisms, as old clients expect."""
    words = command.words
    if not words:
        return ok("\r\n".join(("Mechanisms follow.", *_offered(session), ".")))
    _require_privacy(session)
    if len(words) > 2:
        raise MailError(ErrorKind.BAD_REQUEST, "Invalid command.")
    initial = words[1].encode() if len(words) == 2 else None
    try:
        exchange = Exchange(words[0])
        return await _advance(session, exchange, exchange.begin(initial), words[0].lower())
    except SaslError as fault:
        return _failed(session, fault)


async def _continue(session: Session, exchange: Exchange, mechanism: str, line: bytes) -> bytes:
    """A line of the client inside a SASL exchange."""
    try:
        return await _advance(session, exchange, exchange.step(line), mechanism)
    except SaslError as fault:
        return _failed(session, fault)
    except MailError as fault:
        return refusal(fault)


async def _advance(session: Session, exchange: Exchange, step: Step, mechanism: str) -> bytes:
    if isinstance(step, Challenge):
        session.continuation = partial(_continue, session, exchange, mechanism)
        return b"+ " + step.data + b"\r\n"
    if step.authorization:
        return _count_failure(session, error("Authentication failed.", "AUTH"))
    return await _log_in(session, step.user, step.password, mechanism, "Authentication failed.")


def _failed(session: Session, fault: SaslError) -> bytes:
    reply = error(fault.text)
    return reply if fault.aborted else _count_failure(session, reply)


async def _log_in(session: Session, name: str, secret: str, mechanism: str, failed: str) -> bytes:
    backend, peer = session.backend, session.peer
    # No await between here and `admit`: a revocation finds the session, or comes before the answer.
    try:
        account = await backend.authenticate(name, secret, peer, mechanism)
    except MailError as fault:
        _log.info("login failed", user=name, peer=peer.address, reason=fault.kind.value)
        if fault.kind is ErrorKind.AUTH_FAILED:
            return _count_failure(session, error(failed, "AUTH"))
        if fault.kind is ErrorKind.DISABLED:
            session.then = Then.CLOSE
            return error("POP3 access disabled for this account.")
        if fault.kind is ErrorKind.PRIVACY_REQUIRED:
            session.then = Then.CLOSE
            return error("POP3 access disabled via insecure connection.")
        return error("Temporary problem, please try again later", "SYS/TEMP")
    refused = _refused_by_options(account, tls=peer.tls)
    if refused:
        _log.info("login refused", user=account.address, peer=peer.address, reason=refused)
        session.then = Then.CLOSE
        return error(refused)
    if backend.early(account):
        session.then = Then.CLOSE
        return error("Too soon after the last login.", "LOGIN-DELAY")
    if not session.admit(account.address):
        session.then = Then.CLOSE
        return error("Too many sessions of this account.", "SYS/TEMP")
    session.note(mechanism=mechanism)
    session.account = account
    session.maildrop = await backend.open(account)
    _log.info("login", user=account.address, peer=peer.address, tls=peer.tls, method=mechanism)
    return ok("logged in.")


def _refused_by_options(account: Account, *, tls: bool) -> str:
    """Courier's words for what the account's options forbid, or ""."""
    if account.disabled or account.options.enabled("disablepop3"):
        return "POP3 access disabled for this account."
    if account.options.enabled("disableinsecurepop3") and not tls:
        return "POP3 access disabled via insecure connection."
    return ""


def _count_failure(session: Session, reply: bytes) -> bytes:
    session.login_failures += 1
    if session.login_failures >= session.backend.settings.max_login_failures:
        session.then = Then.CLOSE
    return reply


def may_log_in(session: Session) -> bool:
    """False where a password is not taken before TLS."""
    return session.peer.tls or not session.backend.settings.tls_required


def _require_privacy(session: Session) -> None:
    if not may_log_in(session):
        raise MailError(ErrorKind.PRIVACY_REQUIRED, "TLS required to log in.")


def _offered(session: Session) -> tuple[str, ...]:
    return MECHANISMS if may_log_in(session) else ()
