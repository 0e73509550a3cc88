"""Responses as values, so that two servers can be compared that spell them differently.

A response is a list of str, None (NIL) and lists; quoted strings, literals and atoms are all str.
`[...]` after OK, NO, BAD is a list too, and the text behind it is dropped.
"""

from collections.abc import Sequence

Value = str | None | list["Value"]

_STATUS = ("OK", "NO", "BAD", "BYE", "PREAUTH")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def values(self, end: str) -> list[Value]:
        out: list[Value] = []
        while self.at < len(self.text):
            octet = self.text[self.at]
            if octet == end:
                self.at += 1
                return out
            if octet == " ":
                self.at += 1
            elif octet == "(":
                self.at += 1
                out.append(self.values(")"))
            elif octet == '"':
                out.append(self.quoted())
            elif octet == "{":
                out.append(self.literal())
            else:
                atom = self.atom(end)
                out.append(None if atom == "NIL" else atom)
        assert not end, f"{end} missing: {self.text!r}"
        return out

    def quoted(self) -> str:
        out = []
        self.at += 1
        while (octet := self.text[self.at]) != '"':
            if octet == "\\":
                self.at += 1
            out.append(self.text[self.at])
            self.at += 1
        self.at += 1
        return "".join(out)

    def literal(self) -> str:
        stop = self.text.index("}", self.at)
        size = int(self.text[self.at + 1 : stop])
        start = stop + 3
        self.at = start + size
        return self.text[start : self.at]

    def atom(self, end: str) -> str:
        start = self.at
        depth = 0
        while self.at < len(self.text):
            octet = self.text[self.at]
            if octet == "[":
                depth += 1
            elif octet == "]" and depth:
                depth -= 1
            elif depth == 0 and (octet in ' ()"' or octet == end):
                break
            self.at += 1
        return self.text[start : self.at]


def response(line: bytes) -> list[Value]:
    """Read one response line, literals inside; the tag or "*" is its first value."""
    text = line.decode("latin-1")
    first, _, rest = text.partition(" ")
    word, _, tail = rest.partition(" ")
    if word.upper() not in _STATUS:
        return [first, *_Reader(rest).values("")]
    code: list[Value] = []
    if tail.startswith("["):
        reader = _Reader(tail)
        reader.at = 1
        code = reader.values("]")
    return [first, word.upper(), code]


def pairs(values: Sequence[Value]) -> dict[str, Value]:
    """Return `name value name value` as a dictionary; names in upper case."""
    return {str(values[i]).upper(): values[i + 1] for i in range(0, len(values) - 1, 2)}
