"""The relying party, made when the first passkey comes: its library takes half a second to load."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.auth.factors.ceremonies import RelyingParty


class LazyParty:
    """Used from the event loop, which does not wait for the library."""

    def __init__(self, rp_id: str, name: str, origins: Sequence[str], secret: bytes) -> None:
        """As RelyingParty."""
        self._id, self._name, self._origins, self._secret = rp_id, name, tuple(origins), secret
        self._party: RelyingParty | None = None

    async def get(self) -> "RelyingParty":
        """Return the relying party."""
        if self._party is None:
            self._party = await asyncio.to_thread(self._make)
        return self._party

    def _make(self) -> "RelyingParty":
        from services.auth.factors.ceremonies import RelyingParty  # noqa: PLC0415 - see above

        return RelyingParty(self._id, self._name, self._origins, self._secret)
