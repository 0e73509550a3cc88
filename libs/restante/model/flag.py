"""System flags of a message as bits, and their letters in a Maildir file name.

The letters are Maildir's (DFPRST after ":2,"), the names those of RFC 3501 section 2.3.2.
"P" (passed) is the keyword $Forwarded (RFC 5788 registry). \\Recent is not stored: it
belongs to a session.
"""

from enum import IntFlag
from typing import Final


class Flag(IntFlag):
    """Bit mask of system flags; the value is what the index stores."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16
    FORWARDED = 32


NO_FLAGS: Final = Flag(0)

# Alphabetical, as every Maildir program writes them.
_LETTERS: Final = (
    ("D", Flag.DRAFT),
    ("F", Flag.FLAGGED),
    ("P", Flag.FORWARDED),
    ("R", Flag.ANSWERED),
    ("S", Flag.SEEN),
    ("T", Flag.DELETED),
)
_BY_LETTER: Final = dict(_LETTERS)

IMAP_NAMES: Final[dict[Flag, str]] = {
    Flag.ANSWERED: "\\Answered",
    Flag.FLAGGED: "\\Flagged",
    Flag.DELETED: "\\Deleted",
    Flag.SEEN: "\\Seen",
    Flag.DRAFT: "\\Draft",
    Flag.FORWARDED: "$Forwarded",
}

LETTERS_OF: Final = tuple(
    "".join(letter for letter, bit in _LETTERS if value & bit) for value in range(64)
)
"""The letters of each mask value, indexed by the mask."""


def flags_of(letters: str) -> Flag:
    """Return the mask of Maildir flag letters; unknown letters are ignored."""
    mask = NO_FLAGS
    for letter in letters:
        mask |= _BY_LETTER.get(letter, NO_FLAGS)
    return mask
