"""LMTP replies (RFC 5321 section 4.2, enhanced status codes of RFC 3463 and RFC 2034)."""

from dataclasses import dataclass

from restante.model import ErrorKind, MailError

_OF_KIND = {
    ErrorKind.NO_SUCH_USER: (550, "5.1.1"),
    ErrorKind.DISABLED: (550, "5.2.1"),
    ErrorKind.PERMISSION: (550, "5.7.1"),
    ErrorKind.PRIVACY_REQUIRED: (530, "5.7.0"),
    ErrorKind.TOO_LARGE: (552, "5.3.4"),
    ErrorKind.LIMIT: (452, "4.5.3"),
    ErrorKind.BAD_REQUEST: (501, "5.5.4"),
    ErrorKind.CANNOT: (554, "5.6.0"),
    ErrorKind.OVER_QUOTA: (452, "4.2.2"),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `status` is "" where RFC 2034 has none (greeting, LHLO, 354)."""

    code: int
    status: str
    text: str
    more: tuple[str, ...] = ()  # further lines, as the keywords of LHLO

    def encode(self) -> bytes:
        """Return the line or lines; text outside ASCII goes out as UTF-8 (RFC 6531)."""
        lines = (self.text, *self.more)
        last = len(lines) - 1
        status = f"{self.status} " if self.status else ""
        return "".join(
            f"{self.code}{' ' if i == last else '-'}{status}{line}\r\n"
            for i, line in enumerate(lines)
        ).encode()

    @classmethod
    def of(cls, error: MailError, *, over_quota: int = 452) -> "Reply":
        """Map an error. What is not known to be permanent is 451: it may neither bounce nor lie.

        `over_quota` 552 makes a full mailbox a permanent failure (5.2.2), 452 a temporary one.
        """
        if error.kind is ErrorKind.OVER_QUOTA and over_quota == 552:
            return cls(552, "5.2.2", error.text)
        code, status = _OF_KIND.get(error.kind, (451, "4.3.0"))
        return cls(code, status, error.text)
