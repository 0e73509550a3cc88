"""The stream of a client as events (RFC 3501 section 2.2.1, RFC 7888)."""

from collections.abc import Iterator

from restante.wire.imap.events import Event
from restante.wire.imap.limits import PRE_AUTH, Limits


class ImapParser:
    """One per connection.

    Feed what arrives, then take events one by one and act on each before the next is taken:
    mode switches (`expect_line`, `refuse_append`, `reset`, `limits`) act on the octets behind
    the last event taken, already buffered or not.
    """

    __slots__ = ("_buffer", "limits")

    def __init__(self, limits: Limits = PRE_AUTH) -> None:
        self.limits = limits
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take octets in and iterate over the events they complete (lazily)."""
        raise NotImplementedError

    def next_event(self) -> Event | None:
        """Return the next event of what was fed, None if more octets are needed."""
        raise NotImplementedError

    def expect_line(self) -> None:
        """Read the next line as a ContinuationLine (AUTHENTICATE, IDLE); one line per call."""
        raise NotImplementedError

    def refuse_append(self) -> None:
        """Drop the message of the last AppendStart without reporting it."""
        raise NotImplementedError

    def reset(self) -> None:
        """Drop everything buffered and start afresh (STARTTLS)."""
        raise NotImplementedError
