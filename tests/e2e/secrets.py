"""The files that a stack's first start makes: secrets, public certificate, CA between services.

`restante init` makes them for operators; here they are made without it, so that the stack by
testcontainers stands on nothing that it does not name. The folder is meant to be bind-mounted: its
parent is ours alone, the files in it can be read by the containers' users.
"""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority


@dataclass(frozen=True)
class Files:
    """What was made: directories for /run/secrets, /run/tls and /run/rpc."""

    secrets: Path
    tls: Path
    rpc: Path
    admin_token: str
    delivery_token: str


def make(folder: Path, names: tuple[str, ...]) -> Files:
    """Make everything in `folder`; the public certificate is good for `names`."""
    kept, tls, rpc = (folder / name for name in ("secrets", "tls", "rpc"))
    for directory in (kept, tls, rpc):
        directory.mkdir(parents=True)
    password, redis, admin, delivery = (secrets.token_hex(24) for _ in range(4))
    for name, text in {
        "auth.secret": secrets.token_hex(32),
        "admin.token": admin,
        "delivery.token": delivery,
        "postgres.password": password,
        "sql.url": f"postgresql://restante:{password}@postgres:5432/restante",
        "redis.url": f"redis://:{redis}@redis:6379/0",
        "redis.conf": f'requirepass {redis}\nsave ""\nappendonly no\n',
    }.items():
        (kept / name).write_text(text + "\n")

    inner = Authority(folder / "authority", "CA between services")
    shutil.copy(inner.certificate, rpc / "ca.crt")
    _move(inner.issue("auth", "localhost", "127.0.0.1"), rpc / "auth.crt", rpc / "auth.key")
    _move(inner.issue_client("services"), rpc / "client.crt", rpc / "client.key")
    public = Authority(folder / "public", "public CA")
    _move(public.issue(*names), tls / "tls.crt", tls / "tls.key")
    shutil.copy(public.certificate, tls / "ca.crt")
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return Files(kept, tls, rpc, admin, delivery)


def _move(made: tuple[Path, Path], certificate: Path, key: Path) -> None:
    made[0].rename(certificate)
    made[1].rename(key)
