"""Accounts of a homemade directory, asked through a program (docs/directory-module.md).

RESTANTE_AUTH_PIPE_PROTOCOL: "json" is our contract, one line for a question and one for its
answer; "courier" takes programs that were written for Courier's authpipe as they are.
"""

import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing

from restante.model import ErrorKind, MailError
from services.auth.backends.base import Backend, ModuleContext
from services.auth.backends.directory_contract import DirectoryBackend
from services.auth.backends.pipe_children import Child, ChildPool
from services.auth.backends.pipe_courier import CourierPipeBackend
from services.auth.settings import AuthSettings


class PipeTransport:
    """A directory behind a program."""

    name = "pipe"

    def __init__(self, children: ChildPool) -> None:
        """Starts nothing yet."""
        self._children = children

    async def open(self) -> None:
        """Nothing: children start with the first question."""

    async def ask(self, request: bytes, *, again: bool) -> bytes:
        """Write a line, return a line."""

        async def work(child: Child) -> bytes:
            child.send(request + b"\n")
            return await child.line()

        return await self._children.run(work, again=again)

    async def lines(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Write a line, yield lines."""
        async with aclosing(self._children.stream(request + b"\n")) as lines:
            async for line in lines:
                yield line

    async def close(self) -> None:
        """End the children."""
        await self._children.close()


def make(settings: AuthSettings, context: ModuleContext) -> Backend:
    """Return the module "pipe". Raises MailError(CANNOT) without a command."""
    if not settings.pipe_command:
        raise MailError(ErrorKind.CANNOT, "RESTANTE_AUTH_PIPE_COMMAND is not set")
    command = shlex.split(settings.pipe_command)
    children = ChildPool(command, size=settings.pipe_processes, seconds=settings.pipe_seconds)
    if settings.pipe_protocol == "courier":
        return CourierPipeBackend(children, context.rules)
    return DirectoryBackend(PipeTransport(children), settings, context.rules)
