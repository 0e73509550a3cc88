"""Play every transcript against our service, and against Dovecot where it is installed.

A transcript that names `# only restante` shows what Dovecot cannot do or does in another way.
"""

from pathlib import Path

import pytest

from tests.services.imap.wire import Wire
from tests.transcripts.imap.conftest import Connect
from tests.transcripts.imap.script import Player, read

FILES = sorted(Path(__file__).parent.glob("*.txt"))
OURS_ALONE = "# only restante"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("server", ["restante", "oracle"])
def test_transcript(path: Path, server: str, request: pytest.FixtureRequest) -> None:
    if server == "oracle" and OURS_ALONE in path.read_text():
        return
    connect: Connect = request.getfixturevalue(server)

    def log_in() -> Wire:
        return connect(path.stem)

    Player(path.name, log_in).play(read(path))
