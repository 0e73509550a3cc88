"""What a message is made of, as facts of its bytes: envelope and part tree.

All offsets count bytes of the wire form (CRLF line ends), so that a section of IMAP
(RFC 3501 section 6.4.5) is one slice. Header text is kept as raw bytes, unfolded, encoded
words untouched: decoding is for those who show it.
"""

from dataclasses import dataclass

Params = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address; a group starts with mailbox=name and host=None, and ends with all None."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


@dataclass(frozen=True, slots=True)
class HeaderEnvelope:
    """The fields of IMAP's ENVELOPE (RFC 3501 section 7.4.2); None is NIL."""

    date: bytes | None
    subject: bytes | None
    from_: tuple[Mailbox, ...]
    sender: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    in_reply_to: bytes | None
    message_id: bytes | None


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME part; the root is the message itself.

    `header` .. `body` .. `end`: the header is wire[header:body] (blank line included), the body
    wire[body:end]. `parts` are the children of a multipart, or the one embedded message.
    """

    type: bytes  # lower case: b"text"
    subtype: bytes
    params: Params
    header: int
    body: int
    end: int
    lines: int  # number of lines of the body
    encoding: bytes = b"7bit"
    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: bytes | None = None
    disposition_params: Params = ()
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    parts: tuple["Part", ...] = ()
    envelope: HeaderEnvelope | None = None  # set on the part *inside* a message/rfc822

    @property
    def is_multipart(self) -> bool:
        """True for multipart/*."""
        return self.type == b"multipart"

    @property
    def is_message(self) -> bool:
        """True for message/rfc822 and message/global, whose only child is the embedded message."""
        return self.type == b"message" and self.subtype in (b"rfc822", b"global")
