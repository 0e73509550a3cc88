"""What the parser reports. A complete command is an event itself (`commands.Command`)."""

from dataclasses import dataclass

from restante.wire.imap.commands.append import Append
from restante.wire.imap.commands.command import Command


@dataclass(frozen=True, slots=True)
class LiteralRequest:
    """A synchronising literal was accepted: send "+ OK" (response.continuation) at once."""

    tag: str
    size: int


@dataclass(frozen=True, slots=True)
class AppendStart:
    """APPEND is known up to its message. Check the mailbox and the quota, then either

    - go on: if `sync`, send the continuation; AppendChunk (none for size 0), AppendEnd follow; or
    - `ImapParser.refuse_append()` and answer NO: nothing more of this APPEND is reported.
    """

    command: Append
    sync: bool


@dataclass(frozen=True, slots=True)
class AppendChunk:
    """The next octets of the message, as they came; never collected by the parser."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """All octets came and the command ended properly: store, then answer."""

    tag: str


@dataclass(frozen=True, slots=True)
class ContinuationLine:
    """The line asked for by `expect_line`, without its line end: SASL response, DONE."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """Answer `tag status [code] text`, or `* BAD text` where tag is None.

    After AppendStart it also means: throw away what was received of the message. With
    `fatal`, send the answer and `* BYE`, and close: the stream cannot be followed further.
    """

    tag: str | None
    text: str
    fatal: bool = False
    status: str = "BAD"  # or NO
    code: str | None = None  # such as TOOBIG, BADCHARSET (UTF-8 US-ASCII)


Event = (
    Command
    | LiteralRequest
    | AppendStart
    | AppendChunk
    | AppendEnd
    | ContinuationLine
    | ProtocolError
)
