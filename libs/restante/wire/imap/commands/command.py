"""What every command has."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Command:
    """A complete command of the client. `tag` is checked: safe to send back.

    `name` is the command's word in upper case, without "UID".
    """

    name: ClassVar[str] = ""
    tag: str
