"""File names of messages in a Maildir: base, sizes, flags.

Format: `<unique>[,S=<bytes>][,W=<CRLF bytes>][:2,<letters>]` (Maildir, Maildir++, Courier and
Dovecot). The base name is everything before ":2,": it never changes while the message lives,
so that it is the key of the index and of the cache. Letters other than DFPRST (Dovecot keeps
keywords as a-z) are preserved by every rename.
"""

from dataclasses import dataclass

from restante.model.flag import LETTERS_OF, Flag, flags_of


@dataclass(frozen=True, slots=True)
class MessageName:
    """A parsed file name."""

    base: str  # with ,S= and ,W=
    flags: Flag
    other: str = ""  # letters that are not system flags, in order

    @classmethod
    def parse(cls, filename: str) -> "MessageName":
        """Parse any file name; one without ":2," has no flags."""
        base, mark, letters = filename.partition(":2,")
        if not mark:
            return cls(base, Flag(0))
        letters = letters.partition(",")[0]
        return cls(base, flags_of(letters), "".join(c for c in letters if c not in "DFPRST"))

    def filename(self) -> str:
        """Return the name in cur/, always with ":2,"."""
        letters = LETTERS_OF[self.flags]
        if self.other:
            letters = "".join(sorted(letters + self.other))
        return f"{self.base}:2,{letters}"

    @property
    def size(self) -> int | None:
        """Bytes on disk by ,S=, or None."""
        return _field(self.base, ",S=")

    @property
    def wire_size(self) -> int | None:
        """Bytes with CRLF line ends by ,W=, or None."""
        return _field(self.base, ",W=")


def _field(base: str, key: str) -> int | None:
    at = base.rfind(key)
    if at < 0:
        return None
    digits = base[at + len(key) :].partition(",")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None
