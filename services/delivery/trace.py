"""Trace fields of final delivery (RFC 5321 section 4.4): what is put before a message, and what
is taken out of it.

One block of fields per transaction, the same for every recipient, so that all of them can share
one file. Delivered-To and the "for" of Received name a recipient, so they are written only where
there is one (and Bcc recipients stay unknown to each other).
"""

import re
import time
from typing import Final

from restante.model import Envelope

# A header beyond this is not searched for Return-Path.
_MAX_HEADER: Final = 64 * 1024

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_RETURN_PATH: Final = re.compile(
    rb"(?:\A|(?<=\n))return-path[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE
)
_MAX_FIELD: Final = 4096  # octets of a Received field that are looked at
_FIRST_RECEIVED: Final = re.compile(
    rb"(?:\A|\n)received[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE
)
_COMMENT: Final = re.compile(rb"\([^()]*\)")
_MAX_NESTED: Final = 4  # comments in comments
_MTA_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+-]{3,63}\Z")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def trace_fields(envelope: Envelope, *, hostname: str, id: str, now: float | None = None) -> bytes:
    """Return Return-Path, Delivered-To (one recipient only) and Received, with CRLF.

    Everything in the envelope has passed the grammar of addresses and names, which has no
    control characters: nothing can break out of its line.
    """
    sender = "" if envelope.sender is None else str(envelope.sender)
    lines = [f"Return-Path: <{sender}>\r\n"]
    one = envelope.recipients[0] if len(envelope.recipients) == 1 else None
    if one is not None:
        lines.append(f"Delivered-To: {one}\r\n")
    lines.append("Received: ")
    if envelope.helo or envelope.peer:
        lines.append(f"from {_client(envelope)}\r\n\t")
    lines.append(f"by {hostname} (Restante) with {envelope.protocol} id {id}")
    lines.append(f"\r\n\tfor <{one}>; " if one is not None else ";\r\n\t")
    lines.append(_date(time.time() if now is None else now))
    lines.append("\r\n")
    return "".join(lines).encode()


def mta_id_of(head: bytes) -> str:
    """Return the id of the first Received field in a message's beginning; "" where there is none.

    RFC 5321 section 4.4: "from X by Y with Z id ID for W; date", comments anywhere. The field is
    that of the MTA that sent the message here, if it writes one, as exim and Postfix do; else it is
    whatever the message says. So the id is for logs alone: short, of letters, digits and ". _ + -".
    """
    end = _BLANK_LINE.search(head, 0, _MAX_HEADER)
    found = _FIRST_RECEIVED.search(head, 0, end.start() if end else _MAX_HEADER)
    if found is None:
        return ""
    text = found[1][:_MAX_FIELD]
    for _ in range(_MAX_NESTED):
        shorter = _COMMENT.sub(b" ", text)
        if shorter == text:
            break
        text = shorter
    words = text.partition(b";")[0].split()
    lower = [word.lower() for word in words]
    try:
        # What follows "from" and "by" are names that others chose.
        by = lower.index(b"by", 2 if lower[:1] == [b"from"] else 0)
        id = words[lower.index(b"id", by + 2) + 1].strip(b"<>")
    except (ValueError, IndexError):
        return ""
    return id.decode("ascii") if _MTA_ID.match(id) else ""


class ReturnPathRemover:
    """Drops Return-Path fields from the header of a message that comes in chunks."""

    __slots__ = ("_header",)

    def __init__(self) -> None:
        self._header: bytes | None = b""  # what came so far; None once the header was passed on

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be passed on."""
        if self._header is None:
            return chunk
        text = self._header + chunk if self._header else chunk
        if text.startswith((b"\n", b"\r\n")):  # no header at all
            self._header = None
            return text
        end = _BLANK_LINE.search(text)
        if end is None and len(text) < _MAX_HEADER:
            self._header = text
            return b""
        self._header = None
        return _without_return_path(text, len(text) if end is None else end.end())

    def finish(self) -> bytes:
        """Return what is left at the end of a message that is all header."""
        text, self._header = self._header, None
        return _without_return_path(text, len(text)) if text else b""


def _without_return_path(text: bytes, end: int) -> bytes:
    head = text[:end]
    if b"return-path" not in head.lower():
        return text
    return _RETURN_PATH.sub(b"", head) + text[end:]


def _client(envelope: Envelope) -> str:
    """The extended domain of RFC 5321 section 4.4: what it called itself, and its address."""
    peer = envelope.peer
    if not peer or peer == "unix":
        return envelope.helo or "localhost"
    literal = f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]"
    return f"{envelope.helo} ({literal})" if envelope.helo else literal


def _date(now: float) -> str:
    """Date-time of RFC 5322 section 3.3, in UTC, whatever the locale."""
    t = time.gmtime(now)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday} {_MONTHS[t.tm_mon - 1]} {t.tm_year}"
        f" {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"
    )
