"""Where a listener listens: "host:port", "[::1]:port", "*:port", "unix:/path", or "" for off."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import CoreSchema, core_schema

_MAX_UNIX_PATH = 107  # bytes of sockaddr_un.sun_path without the final NUL


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One address to listen on. False when it is off. Port 0 lets the kernel choose."""

    host: str = ""  # a name, an IPv4 or IPv6 address without brackets, "*" for every address
    port: int = 0
    path: str = ""  # of a unix socket; then host and port mean nothing

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Parse one of the forms of the module's docstring. Raises ValueError."""
        text = text.strip()
        if not text:
            return cls()
        if text.startswith("unix:"):
            path = text[5:]
            if not path or "\0" in path:
                raise ValueError("expected unix:/path")
            if len(path.encode()) > _MAX_UNIX_PATH:
                raise ValueError(f"a unix socket path has at most {_MAX_UNIX_PATH} bytes")
            return cls(path=path)
        host, colon, digits = text.rpartition(":")
        if not (colon and digits.isascii() and digits.isdigit() and int(digits) <= 65535):
            raise ValueError("expected host:port, [ipv6]:port, *:port or unix:/path")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address is written in brackets: [::1]:143")
        if any(c.isspace() or c in "/[]" for c in host):
            raise ValueError("expected host:port, [ipv6]:port, *:port or unix:/path")
        return cls(host or "*", int(digits))

    @property
    def is_unix(self) -> bool:
        """True for a unix socket."""
        return bool(self.path)

    @property
    def target(self) -> tuple[str, int]:
        """Where a client on this machine connects to reach a TCP listener: (host, port)."""
        every = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - binds nothing
        return every.get(self.host, self.host), self.port

    def __bool__(self) -> bool:
        return bool(self.path or self.host)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if not self.host:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Let settings declare fields of this type; text from the environment is parsed."""
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(str(value))
        )
