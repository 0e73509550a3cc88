"""SASLprep (RFC 4013): names and passwords that look alike become alike.

As for a query (RFC 3454 section 7): code points that Unicode 3.2 did not know are let through,
and normalised as today's Unicode says, so that a name in a younger script can log in.
"""

import stringprep
import unicodedata
from typing import Final

_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Return the prepared text; "" can become of text that has nothing visible in it.

    Raises ValueError for prohibited characters and mixed directions (RFC 3454 section 6).
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(c) for c in prepared for prohibited in _PROHIBITED):
        raise ValueError("prohibited character")
    if any(map(stringprep.in_table_d1, prepared)):
        mixed = any(map(stringprep.in_table_d2, prepared))
        ends = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if mixed or not ends:
            raise ValueError("mixed directions")
    return prepared
