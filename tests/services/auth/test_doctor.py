"""`restante doctor` on a running auth service, as a program."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from restante.cli.cert import make_certificate
from restante.store.volume import create_volume
from tests.services.auth.process import auth_process, environment


def doctor(data: Path, **extra: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "services", "doctor", "--json"],
        env=environment(data, **extra),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def of(found: dict[str, Any], what: str) -> list[tuple[str, str]]:
    return [(f["status"], f["text"]) for f in found["findings"] if f["what"].startswith(what)]


def test_a_system_in_order_and_one_that_is_not() -> None:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        data = Path(name)
        users = data / "userdb"
        users.write_text("")
        users.chmod(0o600)
        modules = {
            "RESTANTE_AUTH_MODULES": "userdb sql",
            "RESTANTE_AUTH_USERDB": str(users),
        }
        create_volume(data / "mail")
        make_certificate(data / "tls/cert.pem", data / "tls/key.pem", ["localhost"])
        with auth_process(data, **modules):
            code, found = doctor(data, RESTANTE_HOSTNAME="localhost", **modules)
            assert (code, found["FAIL"]) == (0, 0), found
            assert of(found, "auth")[0] == ("OK", "answers")
            assert [status for status, _ in of(found, "auth, module")] == ["OK", "OK"]
            assert of(found, "auth, database") == [("OK", "answers")]
            assert of(found, "service auth")[0][0] == "OK"

            users.chmod(0o644)
            code, found = doctor(
                data,
                RESTANTE_HINTS="redis://:hidden-word@127.0.0.1:1/0",
                RESTANTE_IMAP_TLS_REQUIRED="perhaps",
                **modules,
            )
            assert code == 1
            assert of(found, "auth, module userdb")[0][0] == "FAIL"
            assert "were not asked" in of(found, "auth")[-2][1]
            assert of(found, "Redis")[0][0] == "FAIL"
            assert of(found, "settings of imap")[0][0] == "FAIL"
            assert "hidden-word" not in json.dumps(found)
        down = "postgresql://joe:hidden-word@127.0.0.1:1/mail"
        code, found = doctor(data, RESTANTE_AUTH_SQL_URL=down)
        (status, text), *_ = of(found, "database of RESTANTE_AUTH_SQL_URL")
        assert (code, status) == (1, "FAIL")
        assert text.startswith("127.0.0.1/mail: ")
        assert "hidden-word" not in json.dumps(found)
        code, found = doctor(data, **modules)
        assert code == 1
        assert of(found, "auth")[0] == ("FAIL", "the auth service cannot be reached")
