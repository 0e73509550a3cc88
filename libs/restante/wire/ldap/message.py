"""LDAP messages (RFC 4511 section 4): requests to bytes, bytes to answers.

Understood answers: search entries and references, and every kind of result, with the paged
results control (RFC 2696) and the values of extended operations. Others are ProtocolError.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from restante.wire.ldap import ber

START_TLS: Final = "1.3.6.1.4.1.1466.20037"  # RFC 4511 section 4.14
PASSWORD_MODIFY: Final = "1.3.6.1.4.1.4203.1.11.1"  # noqa: S105 - an OID, RFC 3062
PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"  # RFC 2696

_SEARCH_ENTRY, _SEARCH_DONE, _SEARCH_REFERENCE = 0x64, 0x65, 0x73
# bind, search, modify, add, delete, rename, compare, extended
_RESULTS: Final = (0x61, _SEARCH_DONE, 0x67, 0x69, 0x6B, 0x6D, 0x6F, 0x78)
_CONTROLS: Final = 0xA0


class ProtocolError(ValueError):
    """The server sent what is not LDAP, or more than the limit."""


class Code(IntEnum):
    """Result codes that mean something to us (RFC 4511 appendix A)."""

    SUCCESS = 0
    PROTOCOL_ERROR = 2
    TIME_LIMIT = 3
    SIZE_LIMIT = 4
    STRONGER_AUTH_REQUIRED = 8
    REFERRAL = 10
    CONSTRAINT_VIOLATION = 19
    NO_SUCH_OBJECT = 32
    INAPPROPRIATE_AUTHENTICATION = 48
    INVALID_CREDENTIALS = 49
    INSUFFICIENT_ACCESS = 50
    BUSY = 51
    UNAVAILABLE = 52
    UNWILLING = 53


class Deref(IntEnum):
    """When aliases are followed."""

    NEVER = 0
    SEARCHING = 1
    FINDING = 2
    ALWAYS = 3


class Scope(IntEnum):
    """How far below its base a search goes."""

    BASE = 0
    ONE = 1
    SUBTREE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A search entry. Attribute names are in lower case, without options of their own."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """A part of the answer that another server has."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an operation."""

    code: int
    text: str = ""  # the server's diagnostic message
    name: str = ""  # OID of an extended answer
    cookie: bytes = b""  # of a paged search; b"" after its last page


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the server; id 0 is a notice that nobody asked for."""

    id: int
    body: Entry | Reference | Result


@dataclass(frozen=True, slots=True)
class Search:
    """A search; `filter` is in BER."""

    base: str
    filter: bytes
    attributes: Sequence[str]
    scope: Scope = Scope.SUBTREE
    deref: Deref = Deref.NEVER
    size_limit: int = 0  # entries; 0 is no limit of ours
    time_limit: int = 0  # seconds; 0 is no limit of ours
    page_size: int = 0  # entries of a page; 0 is no paging
    cookie: bytes = b""  # of the page before


def bind(number: int, dn: str, password: bytes, version: int = 3) -> bytes:
    """A simple bind. With a DN and no password the server lets anybody in: never send that."""
    if dn and not password:
        raise ValueError("a bind without a password")
    body = ber.integer(version), ber.octets(_utf8(dn)), ber.octets(password, 0x80)
    return _message(number, ber.tlv(0x60, *body))


def unbind(number: int) -> bytes:
    """Say goodbye; there is no answer."""
    return _message(number, ber.tlv(0x42))


def search(number: int, what: Search) -> bytes:
    """A search."""
    body = ber.tlv(
        0x63,
        ber.octets(_utf8(what.base)),
        ber.integer(what.scope, ber.ENUMERATED),
        ber.integer(what.deref, ber.ENUMERATED),
        ber.integer(what.size_limit),
        ber.integer(what.time_limit),
        ber.boolean(False),
        what.filter,
        ber.tlv(ber.SEQUENCE, *(ber.octets(_utf8(name)) for name in what.attributes)),
    )
    if not what.page_size:
        return _message(number, body)
    value = ber.tlv(ber.SEQUENCE, ber.integer(what.page_size), ber.octets(what.cookie))
    control = ber.tlv(
        ber.SEQUENCE, ber.octets(PAGED_RESULTS.encode()), ber.boolean(True), ber.octets(value)
    )
    return _message(number, body, ber.tlv(_CONTROLS, control))


def replace(number: int, dn: str, values: Mapping[str, bytes]) -> bytes:
    """A change of one entry: each attribute gets this one value."""
    changes = (
        ber.tlv(
            ber.SEQUENCE,
            ber.integer(2, ber.ENUMERATED),
            ber.tlv(ber.SEQUENCE, ber.octets(_utf8(name)), ber.tlv(ber.SET, ber.octets(value))),
        )
        for name, value in values.items()
    )
    return _message(number, ber.tlv(0x66, ber.octets(_utf8(dn)), ber.tlv(ber.SEQUENCE, *changes)))


def start_tls(number: int) -> bytes:
    """Ask for TLS on this connection."""
    return _extended(number, START_TLS)


def password_modify(number: int, dn: str, old: bytes, new: bytes) -> bytes:
    """Set the password of `dn`, "" for whoever is bound; `old` may be b"" (RFC 3062)."""
    fields = ((0x80, _utf8(dn)), (0x81, old), (0x82, new))
    value = ber.tlv(ber.SEQUENCE, *(ber.octets(data, tag) for tag, data in fields if data))
    return _extended(number, PASSWORD_MODIFY, ber.octets(value, 0x81))


class Decoder:
    """Bytes to answers."""

    def __init__(self, limit: int = 4 * 1024 * 1024) -> None:
        """`limit` in bytes bounds one message."""
        self._data, self._limit = bytearray(), limit

    @property
    def empty(self) -> bool:
        """True between two messages."""
        return not self._data

    def feed(self, data: bytes) -> list[Answer]:
        """Take bytes as they came. Raises ProtocolError."""
        self._data += data
        answers = []
        at = 0
        try:
            while (found := ber.header(self._data, at)) is not None:
                tag, start, length = found
                if tag != ber.SEQUENCE or length > self._limit:
                    raise ProtocolError("no message, or one that is too long")
                if len(self._data) < start + length:
                    break
                answers.append(_answer(bytes(self._data[start : start + length])))
                at = start + length
        except ber.BerError as error:
            raise ProtocolError(str(error)) from error
        del self._data[:at]
        return answers


def _answer(data: bytes) -> Answer:
    reader = ber.Reader(data)
    number = reader.integer()
    tag, body = reader.value()
    inner = ber.Reader(body)
    if tag == _SEARCH_ENTRY:
        return Answer(number, _entry(inner))
    if tag == _SEARCH_REFERENCE:
        urls = []
        while inner.more:
            urls.append(_text(inner.octets()))
        return Answer(number, Reference(tuple(urls)))
    if tag not in _RESULTS:
        raise ProtocolError(f"unknown answer 0x{tag:02x}")
    cookie = _cookie(reader.inner(_CONTROLS)) if reader.peek() == _CONTROLS else b""
    return Answer(number, _result(inner, cookie))


def _entry(reader: ber.Reader) -> Entry:
    dn = _text(reader.octets())
    found: dict[str, tuple[bytes, ...]] = {}
    attributes = reader.inner()
    while attributes.more:
        attribute = attributes.inner()
        name = _text(attribute.octets()).partition(";")[0].lower()
        values = attribute.inner(ber.SET)
        list_ = list(found.get(name, ()))
        while values.more:
            list_.append(values.octets())
        found[name] = tuple(list_)
    return Entry(dn, found)


def _result(reader: ber.Reader, cookie: bytes) -> Result:
    code = reader.integer(ber.ENUMERATED)
    reader.octets()  # matched DN
    text = _text(reader.octets())
    name = ""
    while reader.more:
        tag, value = reader.value()
        if tag == 0x8A:
            name = _text(value)
    return Result(code, text, name, cookie)


def _cookie(controls: ber.Reader) -> bytes:
    while controls.more:
        control = controls.inner()
        name = control.octets()
        if control.peek() == 0x01:
            control.value()
        if name == PAGED_RESULTS.encode() and control.more:
            value = ber.Reader(control.octets()).inner()
            value.integer()  # an estimate of the whole
            return value.octets()
    return b""


def _extended(number: int, name: str, value: bytes = b"") -> bytes:
    return _message(number, ber.tlv(0x77, ber.octets(name.encode(), 0x80), value))


def _message(number: int, *parts: bytes) -> bytes:
    return ber.tlv(ber.SEQUENCE, ber.integer(number), *parts)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
