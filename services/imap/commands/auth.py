"""STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 section 6.2, SASL-IR RFC 4959), ENABLE (RFC 5161).

Passwords are checked by the auth service alone; when it cannot be reached the answer is
NO [UNAVAILABLE], never "wrong password" (RFC 5530). Where TLS is required no password is looked
at, and none is ever logged.
"""

from base64 import b64encode
from dataclasses import replace
from typing import Final

from restante.model import ErrorKind, MailError, spans
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.runtime.log import get_logger, routine
from restante.runtime.upstream import UpstreamAddress
from restante.wire.imap import response, untagged
from restante.wire.imap.commands import Authenticate, Enable, Login, StartTls
from restante.wire.sasl import Challenge, Credentials, Exchange, SaslError, Scene
from services.imap import metrics, proxy
from services.imap.capabilities import capabilities
from services.imap.replies import Reply, bad, no, ok
from services.imap.session import Session

_log = get_logger(__name__)

_DISABLED: Final = "IMAP access disabled for this account."
_TOO_MANY: Final = "This user has too many connections."
_INSECURE: Final = "IMAP access disabled via insecure connection."


async def start_tls(session: Session, command: StartTls) -> Reply:
    """RFC 3501 section 6.2.1. The connection starts the handshake after the OK."""
    if not session.may_start_tls:
        return bad("TLS is not available here.")
    session.starting_tls = True
    return ok("Begin TLS negotiation now.")


async def login(session: Session, command: Login) -> Reply:
    """RFC 3501 section 6.2.3."""
    if not session.may_use_password:
        return _not_here(session, "PLAIN")
    try:
        user = command.user.decode()
    except UnicodeDecodeError:
        raise MailError(ErrorKind.AUTH_FAILED) from None
    return await _check(session, _attempt(session, user, command.password, "login"))


async def authenticate(session: Session, command: Authenticate) -> Reply:
    """RFC 3501 section 6.2.2 with an initial response (RFC 4959)."""
    name, client, auth = command.mechanism, session.client, session.backend.auth
    scene = Scene(
        session.offered, session.backend.settings.hostname, client.bindings, client.certificate
    )
    if name not in scene.offered:
        return _not_here(session, name)
    mechanism = name.lower()
    try:
        exchange = Exchange(name, scene)
        step = exchange.begin(_as_sent(command.initial))
        while not isinstance(step, Credentials):
            if isinstance(step, Challenge):
                step = exchange.step(await client.ask(step.data))
            else:
                found = await auth.scram_parameters(
                    step.user,
                    mechanism=mechanism,
                    service="imap",
                    peer=client.peer_address,
                    session=client.session,
                )
                step = exchange.parameters(*found)
    except SaslError as error:
        return bad(error.text)
    attempt = _attempt(session, step.user, step.secret, mechanism)
    attempt = replace(attempt, challenge=step.challenge, authorization=step.authorization)
    return await _check(session, attempt, exchange)


def _as_sent(initial: bytes | None) -> bytes | None:
    # The parser decoded it; the exchange takes base64, with "=" for the empty response.
    return initial if initial is None else b64encode(initial) or b"="


def _not_here(session: Session, mechanism: str) -> Reply:
    """Refuse a way to log in that is not offered on this connection."""
    if mechanism in session.offered_inside_tls and not session.client.secure:
        metrics.refused(mechanism.lower(), ErrorKind.PRIVACY_REQUIRED)
        return no("Start TLS before logging in.", "PRIVACYREQUIRED")
    metrics.refused("other", ErrorKind.CANNOT)
    return no("Unsupported authentication mechanism.", "CANNOT")


def _attempt(session: Session, user: str, secret: bytes, mechanism: str) -> LoginAttempt:
    client = session.client
    return LoginAttempt(
        user,
        secret,
        "imap",
        client.peer_address,
        tls=client.secure,
        mechanism=mechanism,
        session=client.session,
    )


async def _check(
    session: Session, attempt: LoginAttempt, exchange: Exchange | None = None
) -> Reply:
    client = session.client
    # No await after it until acquire_user: a revocation finds the session, or came before.
    try:
        with spans.span(
            "imap login",
            "server",
            session=attempt.session,
            user=attempt.user,
            peer=attempt.peer,
            mechanism=attempt.mechanism,
        ):
            admitted = await session.backend.auth.admit(attempt)
    except MailError as error:
        return await _refused(session, attempt, error, exchange)
    account = admitted.account
    if account.disabled or account.options.enabled("disableimap"):
        metrics.refused(attempt.mechanism, ErrorKind.DISABLED)
        return _refuse(session, account.address, _DISABLED)
    if account.options.enabled("disableinsecureimap") and not client.secure:
        metrics.refused(attempt.mechanism, ErrorKind.PRIVACY_REQUIRED)
        return _refuse(session, account.address, _INSECURE)
    if not client.acquire_user(account.address):
        metrics.refused(attempt.mechanism, ErrorKind.LIMIT)
        return _refuse(session, account.address, _TOO_MANY, "LIMIT")
    client.note(mechanism=attempt.mechanism, actor=admitted.actor)
    last = exchange.accepted(admitted.proof) if exchange else None
    if exchange and last:
        try:
            exchange.finish(await client.ask(last.data))
        except SaslError as error:
            session.ending = True  # counted already, and not wanted
            session.send(response.bye(error.text))
            return bad(error.text)
    elsewhere = session.backend.settings.upstream(account)
    if elsewhere is not None:
        return await _pass_on(session, attempt, elsewhere, admitted)
    store = session.backend.store.open_account(account)
    if not session.backend.is_complete(account):
        await session.blocking(store.ensure)
        session.backend.note_complete(account)
    session.enter(account, store, mechanism=attempt.mechanism, actor=admitted.actor)
    return ok("Logged in.", "CAPABILITY " + " ".join(capabilities(session)))


async def _pass_on(
    session: Session, attempt: LoginAttempt, address: UpstreamAddress, admitted: Admitted
) -> Reply:
    """Let the account's mailhost serve the session (Courier's proxy)."""
    if attempt.mechanism not in ("plain", "login"):
        return no("This mailbox is on another server: log in with PLAIN.", "CANNOT")
    user = attempt.user if admitted.actor else admitted.account.address
    settings = session.backend.settings
    session.upstream, reply = await proxy.log_in(
        settings, address, user, attempt.secret, attempt.session
    )
    if session.upstream is not None:
        routine(
            "login passed on",
            session=attempt.session,
            user=admitted.account.address,
            peer=attempt.peer,
            host=address.host,
        )
        metrics.LOGINS.labels(attempt.mechanism, "proxied").inc()
    else:
        metrics.refused(attempt.mechanism, ErrorKind.TEMPORARY)
    return reply


async def _refused(
    session: Session, attempt: LoginAttempt, error: MailError, exchange: Exchange | None
) -> Reply:
    session.login_failed(attempt.user, error, attempt.mechanism)
    if error.kind is ErrorKind.DISABLED:
        return _turn_away(session, _DISABLED)
    if error.kind is ErrorKind.PRIVACY_REQUIRED:
        return _turn_away(session, _INSECURE)
    last = exchange.refused() if exchange and error.kind is ErrorKind.AUTH_FAILED else None
    if last:
        await session.client.ask(last.data)  # whatever it says, it fails
    if session.login_failures >= session.backend.settings.max_login_failures:
        session.ending = True
        session.send(response.bye("Too many failed logins."))
    if error.kind is ErrorKind.PERMISSION:
        return no(error.text, "AUTHORIZATIONFAILED")
    raise error


def _refuse(session: Session, user: str, text: str, code: str = "CONTACTADMIN") -> Reply:
    """Turn away somebody who proved who he is, and log it."""
    client = session.client
    _log.info(
        "login refused", session=client.session, user=user, peer=client.peer_address, reason=text
    )
    return _turn_away(session, text, code)


def _turn_away(session: Session, text: str, code: str = "CONTACTADMIN") -> Reply:
    """Say BYE in Courier's words; the tagged NO follows for clients that wait for it."""
    session.send(response.bye(text))
    session.ending = True
    return no(text, code)


async def enable(session: Session, command: Enable) -> Reply:
    """RFC 5161 section 3.1: what is not known is left out of the answer."""
    found = [name for name in dict.fromkeys(command.capabilities) if name == "CONDSTORE"]
    if found:
        session.condstore = True
    session.send(untagged.enabled(found))
    return ok("Enable completed.")
