"""Which new passwords are good enough. Nothing here is ever asked at a login.

In order: length, the address itself, the commonest (the list of 30,000 that zxcvbn carries, most
frequent first), and how long zxcvbn thinks that guessing takes. Texts say what to do better; no
part of the password is in them.

zxcvbn is slow, and slower than linear: it sees SEEN characters (a long password is judged by its
beginning), on one thread of its own, one password at a time (its dictionaries are not safe for
more). It is loaded when it is first needed.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from restante.model import ErrorKind, MailError
from services.auth.passwords import schemes

SEEN: Final = 24  # characters: at worst about a quarter of a second


class PasswordPolicy:
    """Judges new passwords; used from the event loop."""

    def __init__(
        self,
        *,
        min_length: int = 1,
        min_score: int = 0,
        common: int = 0,
        administrators: bool = True,
    ) -> None:
        """`common` of the commonest are refused; `min_score` is zxcvbn's, 0 to 4.

        `administrators`: their passwords for others are judged, too.
        """
        self._min_length, self._min_score, self._common = min_length, min_score, common
        self._administrators = administrators
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="policy")

    async def check(
        self, password: bytes, address: str, name: str = "", *, by_administrator: bool = False
    ) -> None:
        """Raise MailError(BAD_REQUEST) with a reason where a password is refused.

        `name` is the owner's: it and the address are easy guesses.
        """
        if not password or len(password) > schemes.MAX_PASSWORD or b"\0" in password:
            raise _refusal(f"a password has 1 to {schemes.MAX_PASSWORD} bytes, no NUL")
        if by_administrator and not self._administrators:
            return
        text = password.decode("utf-8", "replace")
        if len(text) < self._min_length:
            raise _refusal(f"the password is too short: at least {self._min_length} characters")
        folded = text.casefold()
        if folded in _own_words(address):
            raise _refusal("the password must not be the address")
        if self._common or self._min_score:
            loop = asyncio.get_running_loop()
            hints = [*_own_words(address), *name.split()]
            await loop.run_in_executor(self._thread, self._judge, text, hints)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _judge(self, text: str, hints: Sequence[str]) -> None:
        # Here, not above: it takes memory and 0.1 s, and most processes never change a password.
        from zxcvbn import zxcvbn  # noqa: PLC0415 - see above
        from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - see above

        if self._common and text.casefold() in FREQUENCY_LISTS["passwords"][: self._common]:
            raise _refusal("the password is one of the commonest: choose another")
        if not self._min_score:
            return
        found = zxcvbn(text[:SEEN], user_inputs=[hint[:SEEN] for hint in hints])
        if found["score"] < self._min_score:
            advice = found["feedback"]["warning"] or "Use more, and less usual, words"
            raise _refusal(f"the password is too easy to guess. {advice.rstrip('.')}.")


def _own_words(address: str) -> tuple[str, ...]:
    local, _, domain = address.casefold().partition("@")
    return tuple(filter(None, (address.casefold(), local, domain)))


def _refusal(text: str) -> MailError:
    return MailError(ErrorKind.BAD_REQUEST, text)
