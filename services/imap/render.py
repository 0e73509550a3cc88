"""The flag texts of a folder, kept ready: it has few distinct flag sets among 100,000 rows."""

from collections.abc import Sequence
from typing import Final

from restante.wire.imap.encode import flag_list

_CACHED: Final = 4_096

SYSTEM_FLAGS: Final = b"\\Answered \\Flagged \\Deleted \\Seen \\Draft"


class FlagText:
    r"""The "(\\Seen work)" texts of one folder; bit i of a row's keywords is `keywords[i]`."""

    __slots__ = ("_keywords", "_texts")

    def __init__(self) -> None:
        self._keywords: Sequence[str] = ()
        self._texts: dict[tuple[int, int, bool], bytes] = {}

    def use(self, keywords: Sequence[str]) -> None:
        """Take the folder's keyword table; texts are dropped when a known bit changed its name."""
        if keywords is not self._keywords:
            if keywords[: len(self._keywords)] != self._keywords:
                self._texts.clear()
            self._keywords = keywords

    def text(self, flags: int, keyword_bits: int, recent: bool) -> bytes:
        """Return the parenthesised list of a row."""
        key = (flags, keyword_bits, recent)
        found = self._texts.get(key)
        if found is None:
            names = [k for i, k in enumerate(self._keywords) if keyword_bits >> i & 1]
            found = flag_list(flags & 63, names, recent=recent)
            if len(self._texts) >= _CACHED:
                self._texts.clear()
            self._texts[key] = found
        return found

    def texts(self, flags: Sequence[int], keyword_bits: Sequence[int]) -> list[bytes]:
        r"""Return the lists of many rows, none of which is \Recent."""
        known, text = self._texts, self.text
        return [
            known.get((flag, bits, False)) or text(flag, bits, False)
            for flag, bits in zip(flags, keyword_bits, strict=True)
        ]
