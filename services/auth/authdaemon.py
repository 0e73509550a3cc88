"""courier-authlib's authdaemond protocol, so that exim and Courier's tools work unchanged.

Over TCP it comes with TLS where there is a certificate: passwords cross the network in AUTH.
Whoever gets an answer may ask for any account and try passwords under any TCPREMOTEIP: so clients
show certificates where a CA for them is set, or the network must be the services' own. Hashes are
never sent unless a setting says so.

One request per connection, then we answer and close. A client may shut down its sending side
before it reads (exim's ${readsocket} does): the answer still comes. Answers:
  PRE, AUTH   "KEY=value" lines and ".", or exactly "FAIL"; nothing at all for a temporary failure
  PASSWD      "OK" or "FAIL", also for a temporary failure; nothing for too few fields
  ENUMERATE   rows and a final "."; no final "." where a module failed
  DOMAIN      ours, not Courier's: "OK" for a domain of module sql, "FAIL" for any other, nothing at
              all for a temporary failure. The other modules know accounts and no domains.

A disabled account: AUTH fails. PRE finds it, since its mail is still delivered, with IMAP, POP3
and webmail switched off in OPTIONS (SASL EXTERNAL logs in by PRE alone).
"""

from base64 import b64decode
from binascii import Error as BinasciiError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from restante.model import Account, ErrorKind, MailError, Options
from restante.runtime.connection import Connection
from restante.runtime.limits import ConnectionLimits
from restante.runtime.listener import Listener, listen
from restante.runtime.log import get_logger
from restante.runtime.settings import ListenAddress
from restante.runtime.tls import TlsContexts
from services.auth import metrics
from services.auth.authenticator import Authenticator
from services.auth.backends.asked import for_service
from services.auth.mechanisms.base import Attempt
from services.auth.names import domain_name
from services.auth.passwords import schemes
from services.auth.passwords.cram import HASHES

log = get_logger(__name__)

MAX_LINE: Final = 8191  # bytes with the line's end: shorter than C's BUFSIZ
READ_SECONDS: Final = 10.0
WRITE_SECONDS: Final = 30.0
FAIL: Final = b"FAIL\n"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

_DISABLED: Final = Options.parse("disableimap=1,disablepop3=1,disablewebmail=1")
_CRAM: Final = tuple(f"cram-{name}".encode() for name in HASHES)
_TEMPORARY: Final = (ErrorKind.TEMPORARY, ErrorKind.INTERNAL)


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `remote` is TCPREMOTEIP. `fields` by command:

    PRE (module, service, user), AUTH (service, type, rest...), PASSWD (service, user, old, new),
    ENUMERATE (), DOMAIN (name).
    """

    command: str
    fields: tuple[bytes, ...] = ()
    remote: str = ""


class Reader:
    """Bytes to a Request. `feed` returns it once it is whole; ValueError for what is none."""

    def __init__(self) -> None:
        self._data = b""
        self._remote = ""
        self._body = -1  # bytes that follow an AUTH line; -1 before it

    def feed(self, data: bytes) -> Request | None:
        """Take bytes as they came. Raises ValueError."""
        self._data += data
        while self._body < 0:
            line, end, rest = self._data.partition(b"\n")
            if len(line) + 1 > MAX_LINE:
                raise ValueError("line too long")
            if not end:
                return None
            self._data = rest
            request = self._line(line)
            if request is not None:
                return request
        if len(self._data) < self._body:
            return None
        body = self._data[: self._body]
        return Request("AUTH", tuple(body.split(b"\n")), self._remote)

    def _line(self, line: bytes) -> Request | None:
        word, _, rest = line.partition(b" ")
        if word == b"AUTH":
            self._body = _length(rest)
            return None
        if word == b"PRE":
            module, _, rest = rest.lstrip(b" ").partition(b" ")
            service, _, user = rest.lstrip(b" ").partition(b" ")
            return Request("PRE", (module, service, user.lstrip(b" ")), self._remote)
        if word == b"PASSWD":
            return Request("PASSWD", tuple(rest.split(b"\t")), self._remote)
        if word == b"DOMAIN":
            return Request("DOMAIN", (rest.strip(b" "),), self._remote)
        if line == b"ENUMERATE":
            return Request("ENUMERATE")
        key, equals, value = line.partition(b"=")
        if not equals:
            raise ValueError("unknown command")
        if key == b"TCPREMOTEIP":
            self._remote = _text(value)
        return None


def _length(digits: bytes) -> int:
    if not (digits.isdigit() and len(digits) <= 4 and int(digits) <= MAX_LINE):
        raise ValueError("bad length")
    return int(digits)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class AuthdaemonConnection(Connection):
    """One client."""

    __slots__ = ("_auth", "_certificates", "_send_hashes")

    def __init__(
        self, listener: Listener, auth: Authenticator, *, send_hashes: bool, certificates: bool
    ) -> None:
        """`certificates`: only clients with a verified one get an answer."""
        super().__init__(listener)
        self._auth, self._send_hashes, self._certificates = auth, send_hashes, certificates

    async def run(self) -> None:
        """Read the request, answer, close."""
        if self._certificates and not self.peer.certificate:
            log.warning(
                "authdaemon client without a certificate",
                session=self.session,
                peer=self.peer.address,
            )
            return
        request = await self._request()
        if request is None:
            return
        try:
            await _COMMANDS[request.command](self, request)
            metrics.AUTHDAEMON.labels(request.command, "ok").inc()
        except MailError as error:
            metrics.AUTHDAEMON.labels(request.command, error.kind.value).inc()
            # A fault closes without a byte: the client takes that for temporary.
            if error.kind not in _TEMPORARY:
                self.write(FAIL)
            log.info(
                "authdaemon request refused",
                session=self.session,
                command=request.command,
                peer=request.remote or self.peer.address,
                reason=error.kind.value,
                detail=error.text,
            )
        await self.drain(WRITE_SECONDS)

    async def _request(self) -> Request | None:
        reader = Reader()
        while True:
            data = await self.receive(READ_SECONDS)
            if not data:
                return None
            try:
                request = reader.feed(data)
            except ValueError as error:
                log.debug(
                    "bad authdaemon request",
                    session=self.session,
                    peer=self.peer.address,
                    reason=str(error),
                )
                return None
            if request is not None:
                return request

    async def pre(self, request: Request) -> None:
        """Describe an account without a password."""
        module, service, user = map(_text, request.fields)
        with for_service(service):
            _, record = await self._auth.find(user, _module(module))
        account = record.account
        if account.disabled:
            account = replace(account, options=_DISABLED.merged(account.options))
        hashed = "" if schemes.clear_of(record.password) else record.password
        if hashed and self._send_hashes:
            # Who compares by himself would let the main password in beside a second factor.
            allowed = await self._auth.factors.main_password_allowed(account.address, service)
            hashed = hashed if allowed else ""
        self._answer(account, hashed if self._send_hashes else "")

    async def auth(self, request: Request) -> None:
        """Judge a login: "service, login, user, password" or "service, cram-..., two base64"."""
        if len(request.fields) < 4:
            self.write(FAIL)
            return
        service, kind, one, other = request.fields[:4]
        if kind == b"login":
            attempt = Attempt(
                _text(one), other, _text(service), self._peer(request), session=self.session
            )
        elif kind in _CRAM:
            attempt = _cram(kind.decode(), one, other, _text(service), self._peer(request))
            attempt = replace(attempt, session=self.session)
        else:
            self.write(FAIL)  # SASL EXTERNAL comes as PRE
            return
        account = (await self._auth.authenticate(attempt)).account
        if account.read_only:
            # Whoever asks could not be told, and would let it write.
            raise MailError(ErrorKind.PERMISSION, "this login may only read")
        self._answer(account, "")

    async def passwd(self, request: Request) -> None:
        """Change a password: "service, user, old, new"."""
        if len(request.fields) < 4:
            return
        service, user, old, new = request.fields[:4]
        if any(c < 0x20 for field in request.fields for c in field):
            self.write(FAIL)
            return
        try:
            attempt = Attempt(
                _text(user), old, _text(service), self._peer(request), session=self.session
            )
            await self._auth.change_password(attempt, new)
        except MailError as error:
            log.info(
                "password not changed",
                session=self.session,
                user=_text(user),
                reason=error.kind.value,
            )
            self.write(FAIL)
            return
        self.write(b"OK\n")

    async def enumerate(self, request: Request) -> None:
        """List every account."""
        current = None
        async for module, record in self._auth.chain.records():
            if module is not current:
                current = module
                self.write(f"# {module.name}\n\n".encode())
            self.write(_row(record.account))
            await self.drain(WRITE_SECONDS)
        self.write(b".\n")

    async def domain(self, request: Request) -> None:
        """Say whether mail for a domain is ours."""
        try:
            name = domain_name(_text(request.fields[0]))
        except MailError:
            known = False  # no domain can have that name
        else:
            known = await self._auth.chain.has_domain(name)
        self.write(b"OK\n" if known else FAIL)

    def _answer(self, account: Account, stored: str) -> None:
        lines = [
            ("UID", str(account.uid)),
            ("GID", str(account.gid)),
            ("HOME", str(account.home)),
            ("ADDRESS", account.address),
            ("NAME", account.name.partition(",")[0]),
            ("MAILDIR", str(account.maildir)),
            ("QUOTA", str(account.quota)),
            ("PASSWD", stored),
            ("OPTIONS", str(account.options)),
        ]
        if any("\n" in value for _, value in lines):
            raise MailError(ErrorKind.TEMPORARY, "a field of the account has a line end")
        text = "".join(f"{key}={value}\n" for key, value in lines if value) + ".\n"
        self.write(text.encode("utf-8", "surrogateescape"))

    def _peer(self, request: Request) -> str:
        if request.remote:
            return request.remote
        return "" if self.peer.address == "unix" else self.peer.address


_COMMANDS: Final = {
    "PRE": AuthdaemonConnection.pre,
    "AUTH": AuthdaemonConnection.auth,
    "PASSWD": AuthdaemonConnection.passwd,
    "ENUMERATE": AuthdaemonConnection.enumerate,
    "DOMAIN": AuthdaemonConnection.domain,
}


def _cram(mechanism: str, challenge: bytes, response: bytes, service: str, peer: str) -> Attempt:
    """Return the attempt of a challenge and a response, "user digest", both in base64."""
    try:
        asked, answer = (b64decode(text, validate=True) for text in (challenge, response))
    except BinasciiError:
        raise MailError(ErrorKind.AUTH_FAILED, "authentication failed") from None
    user, _, digest = answer.rstrip(b"\r\n").rpartition(b" ")
    return Attempt(_text(user), digest, service, peer, mechanism=mechanism, challenge=asked)


def _module(name: str) -> str:
    """Return the module that PRE names, "" for all; Courier's names start with "auth"."""
    return "" if name == "." else name.removeprefix("auth")


def _row(account: Account) -> bytes:
    fields = (
        account.address,
        str(account.uid),
        str(account.gid),
        str(account.home),
        str(account.maildir),
        str(account.options),
    )
    if any(c in field for field in fields for c in "\t\n"):
        raise MailError(ErrorKind.TEMPORARY, "a field of an account has a tab or line end")
    return ("\t".join(fields) + "\n").encode("utf-8", "surrogateescape")


async def serve(
    address: ListenAddress,
    auth: Authenticator,
    *,
    send_hashes: bool,
    limits: ConnectionLimits,
    tls: tuple[Path, Path, Path | None] | None = None,
) -> Listener:
    """Listen; `tls` is certificate, key and the CA of clients: then from the first byte.

    A unix socket is open to all, its directory protects it, as authdaemond's. Raises
    MailError(CANNOT).
    """
    contexts = TlsContexts(*tls) if tls is not None else None
    if contexts is None and not address.is_unix and address.host not in LOOPBACK:
        log.warning(
            "passwords cross the network in clear: set RESTANTE_AUTH_AUTHDAEMON_KEY",
            address=str(address),
        )

    def factory(listener: Listener) -> Connection:
        return AuthdaemonConnection(
            listener,
            auth,
            send_hashes=send_hashes,
            certificates=tls is not None and tls[2] is not None,
        )

    return await listen(
        address,
        factory,
        tls=contexts,
        implicit_tls=contexts is not None,
        limits=limits,
        unix_mode=0o777,
    )
