"""Courier's clauses as statements with bound parameters.

A clause of SELECT_CLAUSE and the like holds $(local_part), $(domain), $(service), $(newpass) and
$(newpass_crypt); Courier puts escaped texts in their place. Here each becomes a parameter of the
driver, so that no text of a client is ever a part of a statement:

  '$(local_part)'             the quoted text as a whole is a parameter
  '$(local_part)@$(domain)'   so too; its value is put together before it is bound
  $(domain)                   a parameter, too, where a value may stand
  users_$(domain), `$(x)`     refused: a name of a table or column cannot be a parameter

An unknown $(name) is "", as for Courier. What stands in comments, and in quotes without a "$(",
is left as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Dialect = Literal["mysql", "pgsql", "sqlite"]

_PLACE: Final = re.compile(r"\$\(([^)]*)\)")
_NAME: Final = re.compile(r"[\w$]+\Z")
_BACKSLASHED: Final = r"'(?:[^'\\]|\\.|'')*'"
_PLAIN: Final = r"'(?:[^']|'')*'"
_COMMON: Final = r"(?P<comment>/\*.*?\*/)|(?P<place>\$\([^)]*\))"

# Longest first: what each kind of server takes for a comment, a text, and a name in quotes.
_TOKENS: Final[Mapping[Dialect, re.Pattern[str]]] = {
    "mysql": re.compile(
        rf"{_COMMON}|(?P<line>(?:--(?=\s|\Z)|\#)[^\n]*)"
        rf'|(?P<text>{_BACKSLASHED}|"(?:[^"\\]|\\.|"")*")|(?P<name>`(?:[^`]|``)*`)',
        re.DOTALL,
    ),
    "pgsql": re.compile(
        rf"{_COMMON}|(?P<line>--[^\n]*)"
        rf"|(?<!\w)[eE](?P<escaped>{_BACKSLASHED})|(?P<text>{_PLAIN})"
        r'|(?P<name>"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)',
        re.DOTALL,
    ),
    "sqlite": re.compile(
        rf'{_COMMON}|(?P<line>--[^\n]*)|(?P<text>{_PLAIN}|"(?:[^"]|"")*")'
        r"|(?P<name>`(?:[^`]|``)*`|\[[^\]]*\])",
        re.DOTALL,
    ),
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0", "Z": "\x1a"}

Piece = tuple[str, bool]  # a text, or the name of a value


@dataclass(frozen=True, slots=True)
class Clause:
    """A statement in the driver's own form, and what its parameters are made of."""

    sql: str
    parameters: tuple[tuple[Piece, ...], ...]

    def bind(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the parameters; a value that is missing is ""."""
        return tuple(
            "".join(values.get(text, "") if is_name else text for text, is_name in pieces)
            for pieces in self.parameters
        )


def compile_clause(text: str, dialect: Dialect) -> Clause:
    """Return a clause as a statement. Raises ValueError where that cannot be done safely."""
    mark, percent = ("?", "%") if dialect == "sqlite" else ("%s", "%%")
    sql: list[str] = []
    parameters: list[tuple[Piece, ...]] = []
    at = 0
    for match in _TOKENS[dialect].finditer(text):
        sql.append(_unquoted(text[at : match.start()]).replace("%", percent))
        at = match.end()
        kind, token = match.lastgroup, match[0]
        if kind == "place":
            _value_stands_here(sql, text[at:], names=r"\w$.`\"'\]\[")
            parameters.append(_pieces(token))
            sql.append(mark)
        elif kind in ("comment", "line") or "$(" not in token:
            sql.append(token.replace("%", percent))
        elif kind == "name":
            raise ValueError("$(...) in the quotes of a name cannot be bound")
        else:
            _drop_national(sql)
            _value_stands_here(sql, text[at:], names=r"\w$.`\"'")
            backslashes = dialect == "mysql" or kind == "escaped"
            inner = match["escaped"] if kind == "escaped" else token
            parameters.append(_pieces(_unescaped(inner, backslashes=backslashes)))
            sql.append(mark)
    sql.append(_unquoted(text[at:]).replace("%", percent))
    return Clause("".join(sql), tuple(parameters))


def _unquoted(text: str) -> str:
    if any(quote in text for quote in "'\"`"):
        raise ValueError("a quote does not end")
    return text


def _value_stands_here(before: list[str], after: str, *, names: str) -> None:
    """Raise ValueError where a value would be a part of a longer word."""
    last = next((piece for piece in reversed(before) if piece), "")
    if re.search(rf"[{names}]\Z", last) or re.match(rf"[{names}(]", after):
        raise ValueError("$(...) must stand as a value of its own, not within a name")


def _drop_national(sql: list[str]) -> None:
    """Forget the N of N'text': a parameter has no such prefix."""
    found = _NAME.search(sql[-1]) if sql else None
    if found and found[0] in ("N", "n"):
        sql[-1] = sql[-1][:-1]


def _unescaped(token: str, *, backslashes: bool) -> str:
    quote, inner = token[0], token[1:-1]
    if not backslashes:
        return inner.replace(quote * 2, quote)
    return re.sub(
        rf"\\(.)|{quote}{quote}",
        lambda match: _ESCAPES.get(match[1], match[1]) if match[1] else quote,
        inner,
        flags=re.DOTALL,
    )


def _pieces(text: str) -> tuple[Piece, ...]:
    found: list[Piece] = []
    at = 0
    for match in _PLACE.finditer(text):
        found += [(text[at : match.start()], False), (match[1], True)]
        at = match.end()
    found.append((text[at:], False))
    return tuple(piece for piece in found if piece[0])
