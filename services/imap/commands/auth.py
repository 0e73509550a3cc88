"""STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 section 6.2, SASL-IR RFC 4959), ENABLE (RFC 5161).

Passwords are checked by the auth service alone; when it cannot be reached the answer is
NO [UNAVAILABLE], never "wrong password" (RFC 5530). Where TLS is required no password is looked
at, and none is ever logged.
"""

from base64 import b64encode
from typing import Final

from restante.model import ErrorKind, MailError
from restante.wire.imap import response, untagged
from restante.wire.imap.commands import Authenticate, Enable, Login, StartTls
from restante.wire.sasl import Challenge, Exchange, SaslError
from services.imap.capabilities import capabilities
from services.imap.replies import Reply, bad, no, ok
from services.imap.session import Session

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
        return _need_tls()
    try:
        user = command.user.decode()
    except UnicodeDecodeError:
        raise MailError(ErrorKind.AUTH_FAILED) from None
    password = command.password.decode("utf-8", "surrogateescape")
    return await _check(session, user, password, "login")


async def authenticate(session: Session, command: Authenticate) -> Reply:
    """RFC 3501 section 6.2.2 with an initial response (RFC 4959)."""
    if not session.may_use_password:
        return _need_tls()
    try:
        exchange = Exchange(command.mechanism)
    except SaslError as error:
        return no(error.text, "CANNOT")
    try:
        step = exchange.begin(_as_sent(command.initial))
        while isinstance(step, Challenge):
            step = exchange.step(await session.client.ask(step.data))
    except SaslError as error:
        return bad(error.text)
    if step.authorization:
        return no("Acting as another user is not allowed.", "AUTHORIZATIONFAILED")
    return await _check(session, step.user, step.password, command.mechanism.lower())


def _as_sent(initial: bytes | None) -> bytes | None:
    # The parser decoded it; the exchange takes base64, with "=" for the empty response.
    return initial if initial is None else b64encode(initial) or b"="


def _need_tls() -> Reply:
    return no("Start TLS before logging in.", "PRIVACYREQUIRED")


async def _check(session: Session, user: str, password: str, mechanism: str) -> Reply:
    client = session.client
    # No await after it until acquire_user: a revocation finds the session, or came before.
    try:
        account = await session.backend.auth.authenticate(
            user,
            password,
            service="imap",
            peer=client.peer_address,
            tls=client.secure,
            mechanism=mechanism,
        )
    except MailError as error:
        session.login_failed(user, error)
        if error.kind is ErrorKind.DISABLED:
            return _turn_away(session, _DISABLED)
        if error.kind is ErrorKind.PRIVACY_REQUIRED:
            return _turn_away(session, _INSECURE)
        if session.login_failures >= session.backend.settings.max_login_failures:
            session.ending = True
            session.send(response.bye("Too many failed logins."))
        raise
    if account.disabled or account.options.enabled("disableimap"):
        return _turn_away(session, _DISABLED)
    if account.options.enabled("disableinsecureimap") and not client.secure:
        return _turn_away(session, _INSECURE)
    if not client.acquire_user(account.address):
        return _turn_away(session, _TOO_MANY, "LIMIT")
    client.note(mechanism=mechanism)
    store = session.backend.store.open_account(account)
    if not session.backend.is_complete(account):
        await session.blocking(store.ensure)
        session.backend.note_complete(account)
    session.enter(account, store)
    return ok("Logged in.", "CAPABILITY " + " ".join(capabilities(session)))


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
