"""Play every transcript against our service, and against Dovecot where it is installed.

A transcript that contains `# only restante` shows what Dovecot cannot do or does in another way.
"""

from pathlib import Path

import pytest

from tests.services.imap.wire import Wire
from tests.transcripts.imap.conftest import Connect
from tests.transcripts.imap.script import Player, read

FILES = sorted(Path(__file__).parent.glob("*.txt"))
OURS_ALONE = "# only restante"
PLAYS = [
    (server, path)
    for path in FILES
    for server in ("restante", "oracle")
    if server == "restante" or OURS_ALONE not in path.read_text()
]


@pytest.mark.parametrize(("server", "path"), PLAYS, ids=lambda v: getattr(v, "stem", v))
def test_transcript(path: Path, server: str, request: pytest.FixtureRequest) -> None:
    connect: Connect = request.getfixturevalue(server)

    def log_in() -> Wire:
        return connect(path.stem)

    Player(path.name, log_in).play(read(path))
