"""Places that accounts logged in from, kept in the database for all replicas."""

from pathlib import Path

from sqlalchemy import update

from services.auth.database.engine import Database, database_url
from services.auth.database.schema import known_places
from services.auth.throttle.known import KnownPlaces


async def test_places_outlive_a_restart_and_are_shared(url: str) -> None:
    for round_ in range(2):  # the second time the rows are there already
        database = Database(database_url(url))
        places = KnownPlaces(database)
        if round_:
            assert await places.known("user1@example.test", "192.0.2.1")
        for n in range(700):
            places.note(f"user{n}@example.test", "192.0.2.1")
        await places.close()
        await database.close()
    database = Database(database_url(url))
    other = KnownPlaces(database)
    assert await other.known("user699@example.test", "192.0.2.1")
    assert not await other.known("user699@example.test", "192.0.2.2")
    assert not await other.known("user700@example.test", "192.0.2.1")
    await database.run(
        lambda c: c.execute(update(known_places).values(seen=1)).rowcount, write=True
    )
    assert not await other.known("user699@example.test", "192.0.2.1")  # too long ago
    await database.close()


async def test_a_broken_database_knows_nobody(tmp_path: Path) -> None:
    database = Database(database_url(f"sqlite:///{tmp_path}/none/accounts.sqlite"))
    (tmp_path / "none").write_text("a file, no directory")
    places = KnownPlaces(database)
    assert not await places.known("fred", "192.0.2.1")
    places.note("fred", "192.0.2.1")
    assert await places.known("fred", "192.0.2.1")  # this process remembers
    await places.close()
    await database.close()
