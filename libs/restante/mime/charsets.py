"""Charset names of mail to Python codecs, by allow-list.

Python knows codecs that must never meet foreign bytes: some cost quadratic time (punycode,
idna), some interpret escapes (unicode_escape). So only names of real charsets are let through,
and an unknown charset is read as UTF-8, else Latin-1, which never fails.
"""

import codecs
import re
from functools import lru_cache
from typing import Final

_ALLOWED: Final = re.compile(
    r"ascii|utf-?(?:7|8|8-sig|16|16-[bl]e|32|32-[bl]e)|iso8859-\d+|cp\d+|koi8-[rut]|"
    r"gb2312|gbk|gb18030|big5|big5hkscs|hz|euc_\w+|shift_\w+|iso2022_\w+|johab|"
    r"mac-\w+|tis-620|kz1048|ptcp154|hp-roman8"
)

# Names in the wild that Python does not know, and supersets that mail means by the smaller name.
_ALIASES: Final = {
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-2022-jp": "iso2022_jp_ext",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "x-big5": "big5hkscs",
    "big5": "big5hkscs",
}


@lru_cache(maxsize=256)
def codec_of(charset: bytes) -> str | None:
    """Return the name of Python's codec for a charset of a message, or None where unknown."""
    name = charset[:64].decode("ascii", "replace").strip(" '\"").lower()
    name = _ALIASES.get(name, name)
    if re.fullmatch(r"windows-?\d{3,4}", name):
        name = "cp" + name.removeprefix("windows").lstrip("-")
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if _ALLOWED.fullmatch(found) else None


def decode(data: bytes, charset: bytes) -> str:
    """Decode bytes of a charset; what does not fit becomes U+FFFD. Never raises.

    Unknown charset: UTF-8 if the bytes are, else Latin-1.
    """
    codec = codec_of(charset)
    if codec is None or codec == "utf-8":
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    return data.decode(codec, "replace")
