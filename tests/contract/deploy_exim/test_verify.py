"""Who is known: three ways to ask, and the same answers."""

from pathlib import Path

import pytest

from restante.userdb.make import BERKELEY, CDB, GDBM, make
from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import Exim
from tests.contract.deploy_exim.stack import ANN, FRED, Stack
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


def userdb(folder: Path, *names: str) -> Path:
    top = folder / "userdb"
    top.touch(0o600)
    top.write_text(
        "".join(f"{name}\tuid=5000|gid=5000|home=/h/{name}|systempw=x\n" for name in names)
    )
    make(top, (GDBM, BERKELEY, CDB))
    return top


def settings_of(variant: str, folder: Path) -> dict[str, str]:
    if variant not in ("db", "cdb"):
        return {"EXIM_VERIFY": variant}
    top = userdb(folder, FRED, ANN, "full@example.test")
    return {
        "EXIM_VERIFY": "userdb",
        "EXIM_USERDB": str(top.with_name(f"userdb.{variant}")),
        "EXIM_DOMAINS_FROM_AUTH": "no",
        "EXIM_DOMAINS": "example.test, other.test",
    }


VARIANTS = ("callout", "readsocket", "db", "cdb")


@pytest.mark.parametrize("variant", VARIANTS)
def test_known_unknown_and_not_ours(
    variant: str, folder: Path, stack: Stack, make_exim: MakeExim
) -> None:
    exim: Exim = make_exim(stack, **settings_of(variant, folder))
    exim.write("aliases", "info@example.test: fred@example.test, ann@example.test\n")
    assert exim.rcpt(FRED)[0] == 250
    assert exim.rcpt("Fred@Example.TEST")[0] == 250
    assert exim.rcpt("fred+lists@example.test")[0] == 250
    assert exim.rcpt("info@example.test")[0] == 250
    code, text = exim.rcpt("nobody@example.test")
    assert (code, text) == (550, "5.1.1 <nobody@example.test> is unknown here")
    assert exim.rcpt("nobody+x@example.test")[0] == 550
    code, text = exim.rcpt("fred@elsewhere.test")
    assert (code, text) == (550, "5.7.1 Relaying is not permitted")

    name = exim.send(unique_message(f"for {variant}"), FRED, "ann+x@example.test", sender="")
    exim.wait_log(f"{name} Completed")
    for address in (FRED, ANN):
        (message,) = stack.stored(f"Subject: for {variant}\n", address)
        assert f"id {name}".encode() in message  # exim's id, for who follows a message
    assert exim.queue() == []
