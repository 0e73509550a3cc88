"""LMTP commands (RFC 2033 section 4, RFC 5321 section 4.1, and the extensions named below).

The grammar is strict where two programs could read one line in two ways: a path stands in angle
brackets, parameters are known or refused (RFC 5321 section 4.1.1.11), a line ends with CRLF.
Blanks after "FROM:" and "TO:" are forgiven, as every server does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from restante.model import Address, MailError
from restante.wire.lmtp.xtext import decode_xtext

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")
_VALUE: Final = re.compile(r"[!-<>-~\u00a0-\U0010ffff]+\Z")
_ROUTE: Final = re.compile(r"@[^\"\s,:@]+(?:,@[^\"\s,:@]+)*:")
_HELLO: Final = re.compile(r"[A-Za-z0-9_\-.\[\]:\u00a0-\U0010ffff]{1,255}\Z")
_SIZE: Final = re.compile(r"[0-9]{1,20}\Z")
_NOTIFY: Final = frozenset(("SUCCESS", "FAILURE", "DELAY"))


@dataclass(frozen=True, slots=True)
class Lhlo:
    """LHLO (RFC 2033 section 4.1): what the client calls itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM. `sender` None is the null reverse-path; `size` as announced (RFC 1870)."""

    sender: Address | None
    size: int = 0
    smtputf8: bool = False  # RFC 6531
    body: str = "7BIT"  # or 8BITMIME (RFC 6152)
    ret: str = ""  # DSN: FULL or HDRS (RFC 3461)
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO. `notify` and `orcpt` are DSN's (RFC 3461); `ignore_quota` is exim's IGNOREQUOTA."""

    recipient: Address
    notify: tuple[str, ...] = ()
    orcpt: str = ""
    ignore_quota: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """DATA: the session calls LmtpParser.start_data() if it accepts."""


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT (RFC 3030): `size` octets follow at once, whatever the reply."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP, with or without text."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY."""

    text: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207)."""


@dataclass(frozen=True, slots=True)
class Xclient:
    """XCLIENT (Postfix): what a trusted proxy says about its client; names in upper case."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BadCommand:
    """A line that is no command: the reply to give."""

    code: int
    status: str  # enhanced status (RFC 3463)
    text: str


Command = (
    Lhlo | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | StartTls | Xclient | BadCommand
)


def parse(line: bytes) -> Command:
    """Parse one line without its CRLF. Never raises."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return BadCommand(501, "5.5.4", "Text must be UTF-8")
    if _CONTROL.search(text):
        return BadCommand(501, "5.5.4", "Control characters are not allowed")
    verb, _, rest = text.partition(" ")
    handler = _PARSERS.get(verb.upper())
    if handler is None:
        return BadCommand(500, "5.5.1", "Unknown command")
    try:
        return handler(rest)
    except _Syntax as fault:
        return fault.reply
    except MailError:
        return BadCommand(501, "5.1.3", "Bad address syntax")


def is_hello(name: str) -> bool:
    """Tell whether a client may call itself that: a domain, an address literal, or near to it."""
    return _HELLO.match(name) is not None


class _Syntax(Exception):  # noqa: N818 - a short cut out of nested parsing, never seen outside
    def __init__(self, status: str, text: str, code: int = 501) -> None:
        self.reply = BadCommand(code, status, text)


def _lhlo(rest: str) -> Command:
    name = rest.strip(" ")
    if not is_hello(name):
        raise _Syntax("5.5.4", "LHLO needs a domain or an address literal")
    return Lhlo(name)


def _not_lmtp(_: str) -> Command:
    # RFC 2033 section 4.1: HELO and EHLO must not be accepted.
    return BadCommand(500, "5.5.1", "This is LMTP: use LHLO")


def _mail(rest: str) -> Command:
    path, parameters = _path(rest, "FROM:")
    size, utf8, body, ret, envid = 0, False, "7BIT", "", ""
    for key, value in parameters:
        match key:
            case "SIZE" if value is not None and _SIZE.match(value):
                size = int(value)
            case "BODY" if value is not None and value.upper() in ("7BIT", "8BITMIME"):
                body = value.upper()
            case "SMTPUTF8" if value is None:
                utf8 = True
            case "RET" if value is not None and value.upper() in ("FULL", "HDRS"):
                ret = value.upper()
            case "ENVID" if value is not None:
                envid = _xtext(value)
            case "AUTH" if value is not None:
                _xtext(value)  # RFC 4954 section 5: may be ignored
            case _:
                raise _unknown(key)
    sender = None if path == "" else Address.parse(path)
    _check_utf8(path, utf8)
    return Mail(sender, size, utf8, body, ret, envid)


def _rcpt(rest: str) -> Command:
    path, parameters = _path(rest, "TO:")
    notify: tuple[str, ...] = ()
    orcpt, ignore_quota = "", False
    for key, value in parameters:
        match key:
            case "NOTIFY" if value is not None:
                notify = tuple(value.upper().split(","))
                if notify != ("NEVER",) and not _NOTIFY.issuperset(notify):
                    raise _unknown(key)
            case "ORCPT" if value is not None and ";" in value:
                orcpt = _xtext(value)
            case "IGNOREQUOTA" if value is None:
                ignore_quota = True
            case _:
                raise _unknown(key)
    if path == "":
        raise _Syntax("5.1.3", "A recipient is needed")
    return Rcpt(Address.parse(path), notify, orcpt, ignore_quota)


def _bdat(rest: str) -> Command:
    words = rest.split()
    if not words or not _SIZE.match(words[0]) or len(words) > 2:
        raise _Syntax("5.5.4", "Syntax: BDAT size [LAST]")
    if len(words) == 2 and words[1].upper() != "LAST":
        raise _Syntax("5.5.4", "Syntax: BDAT size [LAST]")
    return Bdat(int(words[0]), len(words) == 2)


def _bare(command: Command) -> Callable[[str], Command]:
    def parse_bare(rest: str) -> Command:
        if rest.strip(" "):
            raise _Syntax("5.5.4", "No parameters are allowed here")
        return command

    return parse_bare


def _xclient(rest: str) -> Command:
    attributes = []
    for word in rest.split():
        name, equals, value = word.partition("=")
        if not equals:
            raise _Syntax("5.5.4", "Syntax: XCLIENT name=value ...")
        attributes.append((name.upper(), _xtext(value)))
    if not attributes:
        raise _Syntax("5.5.4", "Syntax: XCLIENT name=value ...")
    return Xclient(tuple(attributes))


def _path(rest: str, word: str) -> tuple[str, list[tuple[str, str | None]]]:
    """Split "FROM:<path> KEY=value ..." into the path without brackets and its parameters."""
    if rest[: len(word)].upper() != word:
        raise _Syntax("5.5.4", f"Syntax: {word}<address> [parameters]")
    text = rest[len(word) :].lstrip(" ")
    end = _closing_bracket(text)
    path, tail = text[1:end], text[end + 1 :]
    if tail and tail[0] != " ":
        raise _Syntax("5.1.3", "Bad address syntax")
    route = _ROUTE.match(path)
    if route is not None:
        path = path[route.end() :]  # RFC 5321 appendix C: a source route is ignored
        if not path:
            raise _Syntax("5.1.3", "Bad address syntax")
    parameters: list[tuple[str, str | None]] = []
    for item in tail.split():
        key, equals, value = item.partition("=")
        if not _KEYWORD.match(key) or (equals and not _VALUE.match(value)):
            raise _Syntax("5.5.4", "Bad parameter")
        parameters.append((key.upper(), value if equals else None))
    return path, parameters


def _closing_bracket(text: str) -> int:
    """Index of the ">" that ends a path; one inside a quoted local part does not."""
    if text[:1] != "<":
        raise _Syntax("5.1.3", "An address stands in angle brackets")
    quoted, i = False, 1
    while i < len(text):
        c = text[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif c == ">" and not quoted:
            return i
        i += 1
    raise _Syntax("5.1.3", "An address stands in angle brackets")


def _check_utf8(path: str, allowed: bool) -> None:
    # RFC 6531 section 3.3: an address outside ASCII needs the parameter.
    if not allowed and not path.isascii():
        raise _Syntax("5.6.7", "SMTPUTF8 is needed for this address", code=553)


def _xtext(value: str) -> str:
    decoded = decode_xtext(value)
    if decoded is None or _CONTROL.search(decoded):
        raise _Syntax("5.5.4", "Bad parameter")
    return decoded


def _unknown(key: str) -> _Syntax:
    return _Syntax("5.5.4", f"Parameter {key[:40]} is not recognised or has a bad value", code=555)


_PARSERS: Final[dict[str, Callable[[str], Command]]] = {
    "LHLO": _lhlo,
    "HELO": _not_lmtp,
    "EHLO": _not_lmtp,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _bare(Data()),
    "BDAT": _bdat,
    "RSET": _bare(Rset()),
    "NOOP": lambda _: Noop(),
    "QUIT": _bare(Quit()),
    "VRFY": Vrfy,
    "STARTTLS": _bare(StartTls()),
    "XCLIENT": _xclient,
}
