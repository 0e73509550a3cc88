"""Address lists of header fields, as people and broken programs write them.

Grammar: RFC 5322 section 3.4 with the obsolete forms of section 4.4 (routes, comments as names,
spaces round dots). The result feeds IMAP's ENVELOPE and displays; it is never an authority for
delivery (model.Address is strict). A host of None marks a group (RFC 3501 section 7.4.2), so an
address that lacks its domain gets the host b"".
"""

import re
from typing import Final

from restante.mime.headers import comment_end, unquote
from restante.mime.limits import DEFAULT
from restante.model.part import Mailbox

# The forms of nearly all mail: `Name <local@host>`, `"Name" <local@host>`, `local@host`.
_ATEXT: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]++"
_COMMON: Final = re.compile(
    rb"\s*+(?:"
    rb'(?:"([^"\\\r\n]*+)"\s*+|([^\x00-\x1f"(),:;<>@\[\\\]]*+))<('
    + _ATEXT
    + rb")@([A-Za-z0-9.\-]++)>"
    rb"|(" + _ATEXT + rb")@([A-Za-z0-9.\-]++)"
    rb")\s*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb'\s++|"((?:[^"\\]++|\\.)*+)"?+|\[[^\]]*+\]?+|[<>@,;:()\]]|\\.?+|[^\s"\[\]<>@,;:()\\]++',
    re.DOTALL,
)
_GROUP_END: Final = Mailbox(None, None, None, None)


def parse_addresses(value: bytes) -> tuple[Mailbox, ...]:
    """Parse an unfolded address list. Never raises; at most DEFAULT.addresses entries."""
    value = value[: DEFAULT.value]
    found: list[Mailbox] = []
    at = 0
    end = len(value)
    while at < end:
        hit = _COMMON.match(value, at)
        if hit is None:
            return tuple(_Scanner(value, at, found).run())
        at = hit.end()
        quoted, plain, local, host, bare_local, bare_host = hit.groups()
        if bare_local is not None:
            found.append(Mailbox(None, None, bare_local, bare_host))
        else:
            name = plain.strip() if quoted is None else quoted
            if plain and (b"  " in name or b"\t" in name):
                name = b" ".join(name.split())
            found.append(Mailbox(name or None, None, local, host))
        if len(found) >= DEFAULT.addresses:
            break
    return tuple(found)


class _Scanner:
    """The full grammar, token by token. State holds the address that is being read."""

    def __init__(self, value: bytes, at: int, found: list[Mailbox]) -> None:
        self.value = value
        self.at = at
        self.found = found
        self.in_group = False
        self.reset()

    def reset(self) -> None:
        self.words: list[bytes] = []  # the phrase, or the local part, so far
        self.domain: list[bytes] | None = None  # after an @
        self.angle: list[bytes] | None = None  # tokens inside <>
        self.name: bytes | None = None  # the phrase that stood before <
        self.comment: bytes | None = None
        self.closed = False  # the domain is complete
        self.space = False

    def run(self) -> list[Mailbox]:
        value, end = self.value, len(self.value)
        while self.at < end and len(self.found) < DEFAULT.addresses:
            token = _TOKEN.match(value, self.at)
            if token is None:
                break
            text = token.group()
            self.at = token.end()
            if text == b"(":
                close = comment_end(value, token.start())
                self.comment = unquote(value[token.end() : close]).removesuffix(b")").strip()
                self.at = close
                self.space = True
            elif text.isspace():
                self.space = True
            else:
                self.take(text, token.group(1))
        self.flush()
        if self.in_group:
            self.found.append(_GROUP_END)
        return self.found

    def take(self, text: bytes, quoted: bytes | None) -> None:
        if self.angle is not None:
            self._take_angle(text, quoted)
        elif text == b",":
            self.flush()
        elif text == b";":
            self.flush()
            if self.in_group:
                self.in_group = False
                self.found.append(_GROUP_END)
        elif text == b"<":
            phrase = self._phrase()
            if self.domain is not None:
                phrase = b"%b%b@%b" % (
                    self.name + b" " if self.name else b"",
                    phrase,
                    b"".join(self.domain),
                )
            self.name, self.angle, self.domain, self.words = phrase, [], None, []
        elif text == b":" and self.domain is None and not self.in_group:
            self.found.append(Mailbox(None, None, self._phrase(), None))
            self.in_group = True
            self.reset()
        elif text == b"@":
            # A second @ ends what can be trusted: its rest belongs to nobody.
            self.closed = self.domain is not None
            if self.domain is None:
                self._split_name()
                self.domain = []
        elif text in (b">", b")", b"]", b"\\"):
            pass
        else:
            self._word(text if quoted is None else unquote(quoted))
        self.space = False

    def _word(self, word: bytes) -> None:
        if self.domain is not None:
            # Words after "a@b c" are a forgotten comma or comment: they do not join the host.
            loose = self.space and self.domain and not self.domain[-1].endswith(b".")
            if not self.closed and (not loose or word.startswith(b".")):
                self.domain.append(word)
        elif self.space and self.words:
            self.words += (b" ", word)
        else:
            self.words.append(word)

    def _split_name(self) -> None:
        """Take the words before the last one as the name: "Ann Example ann@example.org"."""
        if b" " in self.words and not any(w in (b".",) or w[:1] == b"." for w in self.words):
            gap = len(self.words) - 1 - self.words[::-1].index(b" ")
            self.name = b"".join(self.words[:gap])
            self.words = self.words[gap + 1 :]

    def _take_angle(self, text: bytes, quoted: bytes | None) -> None:
        if self.angle is None:
            return
        if text == b">" or (text == b"," and not (self.angle and self.angle[0] == b"@")):
            self.emit(self._from_angle())
            closed = text == b">"
            self.reset()
            if closed:
                self._to_separator()
        else:
            self.angle.append(text if quoted is None else b'"' + unquote(quoted))

    def _to_separator(self) -> None:
        """Skip what follows ">" up to the comma, so that it cannot become an address."""
        value, end = self.value, len(self.value)
        while self.at < end:
            token = _TOKEN.match(value, self.at)
            if token is None or token.group() in (b",", b";"):
                return
            is_comment = token.group() == b"("
            self.at = comment_end(value, token.start()) if is_comment else token.end()

    def _phrase(self) -> bytes:
        return b"".join(self.words)

    def _from_angle(self) -> Mailbox:
        tokens = self.angle or []
        route = None
        if tokens[:1] == [b"@"] and b":" in tokens:
            mark = tokens.index(b":")
            route = b"".join(tokens[:mark])
            tokens = tokens[mark + 1 :]
        host = b""
        if b"@" in tokens:
            mark = len(tokens) - 1 - tokens[::-1].index(b"@")
            host = b"".join(tokens[mark + 1 :])
            tokens = tokens[:mark]
        local = b"".join(t[1:] if t[:1] == b'"' else t for t in tokens)
        return Mailbox(self.name or self.comment or None, route, local, host)

    def flush(self) -> None:
        """End the address at hand, if there is one."""
        if self.angle is not None:
            self.emit(self._from_angle())
        elif self.domain is not None:
            local = b"".join([word for word in self.words if word != b" "])
            name = self.name or self.comment or None
            self.emit(Mailbox(name, None, local, b"".join(self.domain)))
        elif b" " in self.words:
            self.emit(Mailbox(self._phrase(), None, b"", b""))
        elif self.words:
            self.emit(Mailbox(self.comment or None, None, self._phrase(), b""))
        self.reset()

    def emit(self, mailbox: Mailbox) -> None:
        if mailbox.mailbox or mailbox.host or mailbox.name:
            self.found.append(mailbox)
