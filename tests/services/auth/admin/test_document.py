"""The examples of docs/admin-api.md run as they stand, one after the other.

grpcurl is the real one where it is installed, else grpcurl.py beside this file.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.auth.process import auth_process
from tests.services.auth.test_tls import Authority

DOCUMENT = Path(__file__).parents[4] / "docs/admin-api.md"


def examples() -> str:
    """Return all shell examples as one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.M))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples(data: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    _tool(tools / "restante", f'{sys.executable} -m services "$@"')
    if shutil.which("grpcurl") is None:
        _tool(tools / "grpcurl", f'{sys.executable} {Path(__file__).with_name("grpcurl.py")} "$@"')
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("auth")
    authority.issue("operator")
    settings = {
        "RESTANTE_AUTH_HTTP_LISTEN": "127.0.0.1:0",
        "RESTANTE_AUTH_TCP_LISTEN": "127.0.0.1:0",
        "RESTANTE_AUTH_GRPC_CERTIFICATE": str(certificate),
        "RESTANTE_AUTH_GRPC_KEY": str(key),
        "RESTANTE_AUTH_GRPC_CLIENT_CA": str(authority.file),
        "RESTANTE_AUTH_ADMIN_CERTIFICATES": "operator",
    }
    with auth_process(data, **settings) as auth:
        script = examples()
        for text, here in (
            ("/var/lib/restante", str(data)),
            ("/etc/restante/tls", str(tmp_path)),
            ("http://127.0.0.1:9180", f"https://{auth.endpoints['http_listen']}"),
            ("auth.example.org:9100", auth.endpoints["tcp_listen"]),
        ):
            assert text in script
            script = script.replace(text, here)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={
                "PATH": f"{tools}:/usr/bin:/bin",
                "RESTANTE_DATA": str(data),
                "CURL_CA_BUNDLE": str(authority.file),
                "PYTHONPATH": ":".join(filter(None, sys.path)),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{auth.log()}"
        assert "restante.rpc.admin.v1.Admin" in done.stdout
        assert '"name": "example.org"' in done.stdout
        assert "admin.account.create" in done.stdout
        assert auth.log().count(" result=ok") > 30


def _tool(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(0o755)
