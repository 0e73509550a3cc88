"""authpasswd: methods as Courier's, and every hash fits its password."""

import io
import os
import pty
import sys

import pytest

from restante.cli.authpasswd import authpasswd
from services.auth.passwords import schemes


def run(monkeypatch: pytest.MonkeyPatch, *words: str, given: bytes = b"abc\n") -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    return authpasswd(words)


@pytest.mark.parametrize(
    ("method", "start"),
    [
        ((), "$1$"),
        (("md5",), "{MD5}kAFQmDzST7DWlj99KOF/cg=="),
        (("md5raw",), "{MD5RAW}900150983cd24fb0d6963f7d28e17f72"),
        (("sha",), "{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
        (("sha1",), "{SSHA}"),
        (("ssha",), "{SSHA}"),
        (("crypt",), "{SSHA}"),
        (("anything",), "{SSHA}"),
        (("sha256",), "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        (("sha512",), "{SHA512}3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05oh"),
        (("argon2id",), "$argon2id$"),
        (("sha512-crypt",), "$6$"),
        (("yescrypt",), "$y$"),
    ],
)
def test_methods(
    method: tuple[str, ...],
    start: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *method) == 0
    out = capsys.readouterr().out
    assert out.startswith(start)
    assert schemes.verify(out.rstrip("\n"), b"abc")
    assert not schemes.verify(out.rstrip("\n"), b"abd")


def test_refusals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, given=b"") == 1
    assert run(monkeypatch, "-h") == 1
    assert run(monkeypatch, "md5", "more") == 1
    assert capsys.readouterr().out == ""


def test_it_asks_twice_at_a_terminal() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable,
            [
                sys.executable,
                "-c",
                "from restante.cli.authpasswd import main; import sys; sys.exit(main())",
                "md5",
            ],
        )
    seen = b""
    answers = [(b"Password: ", b"abc\n"), (b"Reenter password: ", b"abd\n")]
    answers += [(b"Password: ", b"abc\n"), (b"Reenter password: ", b"abc\n")]
    for prompt, answer in answers:
        mark = len(seen)
        while prompt not in seen[mark:]:
            seen += os.read(terminal, 1000)
        os.write(terminal, answer)
    try:
        while data := os.read(terminal, 1000):
            seen += data
    except OSError:  # the end of a terminal
        pass
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"Passwords don't match." in seen
    assert b"{MD5}kAFQmDzST7DWlj99KOF/cg==" in seen
    assert b"abd" not in seen
