"""Logging in: USER and PASS (RFC 1939 section 7), AUTH (RFC 5034), and the rules behind both.

Courier's words are kept where clients and support desks know them. One Authenticate call per
login; the mailbox is opened in the same breath, so that +OK means that STAT will work.
"""

from dataclasses import replace
from functools import partial

from restante.model import Account, ErrorKind, MailError, spans
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.runtime.log import get_logger, routine
from restante.runtime.upstream import UpstreamAddress
from restante.wire.pop3 import Command, error, ok
from restante.wire.sasl import (
    Challenge,
    Credentials,
    Exchange,
    SaslError,
    Scene,
    Step,
    offered,
    takes_passwords,
)
from services.pop3 import metrics, proxy
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
    secret = command.raw_argument.encode("utf-8", "surrogateescape")
    attempt = _attempt(session, name, secret, "login")
    admitted = await _judged(session, attempt, "Login failed.")
    return admitted if isinstance(admitted, bytes) else await _enter(session, attempt, admitted)


async def auth(session: Session, command: Command) -> bytes:
    """AUTH mechanism [initial-response]; AUTH alone lists the mechanisms, as old clients expect."""
    words = command.words
    if not words:
        return ok("\r\n".join(("Mechanisms follow.", *offers(session), ".")))
    name, scene = words[0].upper(), _scene(session)
    if name not in scene.offered and name in _offered(session, private=True):
        raise MailError(ErrorKind.PRIVACY_REQUIRED, "TLS required to log in.")
    if len(words) > 2:
        raise MailError(ErrorKind.BAD_REQUEST, "Invalid command.")
    initial = words[1].encode() if len(words) == 2 else None
    try:
        exchange = Exchange(name, scene)
        return await _advance(session, exchange, exchange.begin(initial), name.lower())
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
    if isinstance(step, Credentials):
        return await _check(session, exchange, step, mechanism)
    if not isinstance(step, Challenge):
        found = await session.backend.scram_parameters(step.user, mechanism, session.peer)
        step = exchange.parameters(*found)
        return await _advance(session, exchange, step, mechanism)
    session.continuation = partial(_continue, session, exchange, mechanism)
    return _continuation(step)


async def _check(
    session: Session, exchange: Exchange, credentials: Credentials, mechanism: str
) -> bytes:
    attempt = replace(
        _attempt(session, credentials.user, credentials.secret, mechanism),
        challenge=credentials.challenge,
        authorization=credentials.authorization,
    )
    admitted = await _judged(session, attempt, "Authentication failed.")
    if isinstance(admitted, bytes):
        # RFC 7628 section 3.2.3: what was wrong goes first, then the client may speak once more.
        last = None if session.then is Then.CLOSE else exchange.refused()
        if last is None:
            return admitted
        session.continuation = partial(_give_up, admitted)
        return _continuation(last)
    last = exchange.accepted(admitted.proof)
    if last is None:
        return await _enter(session, attempt, admitted)
    session.continuation = partial(_finish, session, exchange, attempt, admitted)
    return _continuation(last)


async def _give_up(reply: bytes, line: bytes) -> bytes:
    """Whatever the client says to a refusal."""
    return reply


async def _finish(
    session: Session, exchange: Exchange, attempt: LoginAttempt, admitted: Admitted, line: bytes
) -> bytes:
    """The client's answer to our last word."""
    try:
        exchange.finish(line)
    except SaslError as fault:
        session.then = Then.CLOSE  # the session is counted already, and not wanted
        return error(fault.text)
    try:
        return await _enter(session, attempt, admitted)
    except MailError as fault:
        return refusal(fault)


def _continuation(challenge: Challenge) -> bytes:
    return b"+ " + challenge.data + b"\r\n"


def _failed(session: Session, fault: SaslError) -> bytes:
    reply = error(fault.text)
    return reply if fault.aborted else _count_failure(session, reply)


def _attempt(session: Session, user: str, secret: bytes, mechanism: str) -> LoginAttempt:
    peer = session.peer
    return LoginAttempt(
        user,
        secret,
        "pop3",
        peer.address,
        tls=peer.tls,
        mechanism=mechanism,
        session=peer.session,
    )


async def _judged(session: Session, attempt: LoginAttempt, failed: str) -> Admitted | bytes:
    """Return who came in, counted as a session, or the reply that refuses."""
    backend, peer = session.backend, session.peer
    # No await between here and `admit`: a revocation finds the session, or comes before the answer.
    try:
        with spans.span(
            "pop3 login",
            "server",
            session=attempt.session,
            user=attempt.user,
            peer=attempt.peer,
            mechanism=attempt.mechanism,
        ):
            admitted = await backend.log_in(attempt)
    except MailError as fault:
        metrics.refused(attempt.mechanism, fault.kind)
        _log.info(
            "login failed",
            session=peer.session,
            user=attempt.user,
            peer=peer.address,
            reason=fault.kind.value,
        )
        if fault.kind is ErrorKind.AUTH_FAILED:
            return _count_failure(session, error(failed, "AUTH"))
        if fault.kind is ErrorKind.PERMISSION:
            return _count_failure(session, error(fault.text, "AUTH"))
        if fault.kind is ErrorKind.DISABLED:
            session.then = Then.CLOSE
            return error("POP3 access disabled for this account.")
        if fault.kind is ErrorKind.PRIVACY_REQUIRED:
            session.then = Then.CLOSE
            return error("POP3 access disabled via insecure connection.")
        return error("Temporary problem, please try again later", "SYS/TEMP")
    account = admitted.account
    refused = _refused_by_options(account, tls=peer.tls)
    if refused:
        metrics.refused(attempt.mechanism, ErrorKind.DISABLED)
        _log.info(
            "login refused",
            session=peer.session,
            user=account.address,
            peer=peer.address,
            reason=refused,
        )
        session.then = Then.CLOSE
        return error(refused)
    if backend.early(account):
        metrics.LOGINS.labels(attempt.mechanism, "early").inc()
        session.then = Then.CLOSE
        return error("Too soon after the last login.", "LOGIN-DELAY")
    if not session.admit(account.address):
        metrics.refused(attempt.mechanism, ErrorKind.LIMIT)
        session.then = Then.CLOSE
        return error("Too many sessions of this account.", "SYS/TEMP")
    session.note(mechanism=attempt.mechanism, actor=admitted.actor)
    return admitted


async def _enter(session: Session, attempt: LoginAttempt, admitted: Admitted) -> bytes:
    account, peer = admitted.account, session.peer
    elsewhere = session.backend.settings.upstream(account)
    if elsewhere is not None:
        return await _pass_on(session, attempt, elsewhere, admitted)
    session.account = account
    session.maildrop = await session.backend.open(account)
    metrics.LOGINS.labels(attempt.mechanism, "ok").inc()
    told = {"actor": admitted.actor} if admitted.actor else {}
    routine(
        "login",
        session=peer.session,
        user=account.address,
        peer=peer.address,
        tls=peer.tls,
        mechanism=attempt.mechanism,
        **told,
    )
    return ok("logged in.")


async def _pass_on(
    session: Session, attempt: LoginAttempt, address: UpstreamAddress, admitted: Admitted
) -> bytes:
    """Let the account's mailhost serve the session (Courier's proxy)."""
    if attempt.mechanism not in ("plain", "login"):
        return error("This mailbox is on another server: log in with PLAIN.")
    user = attempt.user if admitted.actor else admitted.account.address
    settings = session.backend.settings
    session.upstream = await proxy.log_in(settings, address, user, attempt.secret, attempt.session)
    if session.upstream is None:
        metrics.refused(attempt.mechanism, ErrorKind.TEMPORARY)
        return error("The server of this mailbox refused the login.", "SYS/TEMP")
    routine(
        "login passed on",
        session=attempt.session,
        user=admitted.account.address,
        peer=attempt.peer,
        host=address.host,
    )
    metrics.LOGINS.labels(attempt.mechanism, "proxied").inc()
    session.then = Then.RELAY
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


def may_use_password(session: Session) -> bool:
    """False for USER and PASS where TLS is missing, or where PLAIN is not allowed."""
    return _private(session) and takes_passwords(session.backend.settings.sasl_mechanisms)


def offers(session: Session) -> tuple[str, ...]:
    """SASL mechanisms that may be used here and now."""
    return _offered(session, private=_private(session))


def _private(session: Session) -> bool:
    return session.peer.tls or not session.backend.settings.tls_required


def _require_privacy(session: Session) -> None:
    if not _private(session):
        raise MailError(ErrorKind.PRIVACY_REQUIRED, "TLS required to log in.")
    if not may_use_password(session):
        raise MailError(ErrorKind.PERMISSION, "Passwords are not taken here, use AUTH.")


def _offered(session: Session, *, private: bool) -> tuple[str, ...]:
    return offered(
        session.backend.settings.sasl_mechanisms,
        private=private,
        bindings=lambda: session.peer.bindings,
        certificate=session.peer.certificate,
    )


def _scene(session: Session) -> Scene:
    peer, settings = session.peer, session.backend.settings
    return Scene(offers(session), settings.hostname, peer.bindings, peer.certificate)
