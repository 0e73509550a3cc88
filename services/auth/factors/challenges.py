"""What is kept between the two halves of an exchange. Functions run on a database thread.

Invariant: `take` gives what was kept to one caller only, whatever replica he asks.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.auth.database.schema import challenges


@dataclass(frozen=True, slots=True)
class Challenge:
    """The name of something kept: who asks by another kind or address finds nothing."""

    id: str
    kind: str  # "second-factor", "register"...
    address: str

    def keep(self, connection: Connection, data: str, expires: int) -> bool:
        """Keep `data` until `expires` (unix seconds); False where the id is taken."""
        values = {"id": self.id, "kind": self.kind, "address": self.address}
        try:
            with connection.begin_nested():
                connection.execute(insert(challenges).values(data=data, expires=expires, **values))
        except IntegrityError:
            return False
        return True

    def read(self, connection: Connection) -> str | None:
        """Return what is kept; nobody else changes it until the transaction ends."""
        query = select(challenges.c.data).where(*self._where())
        return connection.execute(query.with_for_update()).scalar()

    def write(self, connection: Connection, data: str) -> None:
        """Replace what is kept."""
        connection.execute(update(challenges).where(*self._where()).values(data=data))

    def take(self, connection: Connection, now: float) -> str | None:
        """Return what was kept, once; None where it is not there, or no longer good."""
        query = select(challenges.c.data).where(*self._where(), challenges.c.expires > now)
        data = connection.execute(query).scalar()
        done = connection.execute(delete(challenges).where(*self._where()))
        return data if done.rowcount == 1 else None

    def _where(self) -> tuple[ColumnElement[bool], ...]:
        return (
            challenges.c.id == self.id,
            challenges.c.kind == self.kind,
            challenges.c.address == self.address,
        )
