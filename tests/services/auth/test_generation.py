"""SQLite's generation: what voids caches and verdicts, and what must not."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from services.auth.database import schema
from services.auth.database.engine import Database, database_url

ROW = {
    "address": "fred@example.test",
    "digest": "d",
    "id": "1",
    "name": "phone",
    "services": "",
    "networks": "",
    "read_only": False,
    "created": 1,
}


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    made = Database(database_url(f"sqlite:///{tmp_path}/accounts.sqlite"))
    await made.open()
    return made


async def test_what_is_written_all_the_time_does_not_count(database: Database) -> None:
    await database.run(lambda c: c.execute(insert(schema.app_passwords), ROW).rowcount, write=True)
    before = database.data_version()
    assert before is not None
    noise = [
        update(schema.app_passwords).values(last_used=5, last_peer="192.0.2.1"),
        insert(schema.audit).values(time=1, action="login"),
        insert(schema.known_places).values(address="fred", place="192.0.2.1", seen=1),
    ]
    for statement in noise:
        await database.run(lambda c, s=statement: c.execute(s).rowcount, write=True)  # type: ignore[misc]  # the statement is bound
        assert database.data_version() == before
    await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO domains VALUES ('b.test', '', '', 1)",
        "INSERT INTO revocations (address, reason, created) VALUES ('', 1, 1)",
        "INSERT INTO masters VALUES ('a', '', 1)",
        "DELETE FROM app_passwords",
        "UPDATE app_passwords SET networks = '192.0.2.0/24'",
        "INSERT INTO totp VALUES ('a', 's', 1, 0, 1)",
    ],
)
async def test_what_a_login_depends_on_counts_also_by_hand(
    database: Database, statement: str
) -> None:
    await database.run(lambda c: c.execute(insert(schema.app_passwords), ROW).rowcount, write=True)
    before = database.data_version()
    with sqlite3.connect(database.url.database or "") as other:
        other.execute(statement)
    other.close()
    after = database.data_version()
    assert before is not None
    assert after is not None
    assert after > before
    await database.close()
