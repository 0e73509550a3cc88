"""A machine of our own for PAM: a private mount namespace with another /etc, by unshare(1).

Nothing of it is seen outside of the processes that are started in it. Needs root.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt

MODULES = ("pam_unix", "pam_pwdfile", "pam_debug", "pam_exec", "pam_permit", "pam_deny")
_FOLDERS = ("/lib/*/security", "/usr/lib/*/security", "/lib/security", "/usr/lib64/security")


class PamHost:
    """Its /etc, to be changed at will."""

    def __init__(self, top: Path) -> None:
        self.etc = top / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True)
        self.homes = top / "home"
        self.homes.mkdir()
        (self.etc / "mail").mkdir(exist_ok=True)
        (self.etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\n")
        for name in (self.etc / "pam.d").iterdir():
            name.unlink()
        self.service("other", "auth required pam_deny.so", "account required pam_deny.so")

    @property
    def wrapper(self) -> list[str]:
        """The command that runs another one on this machine."""
        script = 'mount --bind "$0" /etc && exec "$@"'
        return [
            *("unshare", "--mount", "--propagation", "private", "--"),
            *("sh", "-c", script, str(self.etc)),
        ]

    def service(self, name: str, *lines: str) -> None:
        (self.etc / "pam.d" / name).write_text("".join(line + "\n" for line in lines))

    def user(
        self, name: str, uid: int, *, password: str = "", gecos: str = "", expires: str = ""
    ) -> None:
        home = self.homes / name
        with (self.etc / "passwd").open("a") as passwd:
            passwd.write(f"{name}:x:{uid}:{uid}:{gecos}:{home}:/bin/sh\n")
        with (self.etc / "shadow").open("a") as shadow:
            stored = hashed(password) if password else "!"
            shadow.write(f"{name}:{stored}:19000:0:99999:7::{expires}:\n")

    def password_file(self, name: str, **passwords: str) -> str:
        """Write a file for pam_pwdfile; returns the module's line."""
        lines = (f"{user}:{hashed(password)}\n" for user, password in passwords.items())
        (self.etc / "mail" / name).write_text("".join(lines))
        return f"auth required pam_pwdfile.so pwdfile=/etc/mail/{name}"

    def script(self, name: str, text: str) -> str:
        """Write a program for pam_exec; returns the module's line."""
        path = self.etc / "mail" / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return f"auth required pam_exec.so quiet /etc/mail/{name}"


def hashed(password: str) -> str:
    return str(sha512_crypt.using(rounds=1000).hash(password))


def skip_unless_possible() -> None:
    """Skip by name of what is missing."""
    if os.geteuid():
        pytest.skip("needs root: a PAM service is a file in /etc/pam.d")
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare of util-linux")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("may not make a mount namespace here")
    folders = [folder for pattern in _FOLDERS for folder in Path("/").glob(pattern[1:])]
    for module in MODULES:
        if not any((folder / f"{module}.so").exists() for folder in folders):
            pytest.skip(f"needs {module}.so (Debian: libpam-modules, libpam-pwdfile)")
