"""run/<service>.json: how the command line and tests find a running service."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from restante.runtime.address import ListenAddress


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a running service says of itself."""

    service: str
    pid: int
    workers: int
    started: float  # unix seconds
    endpoints: dict[str, str] = field(default_factory=dict)  # setting's field -> real address

    def write(self, run_dir: Path) -> None:
        """Write it in one step."""
        path = run_dir / f"{self.service}.json"
        temporary = path.with_suffix(f".{self.pid}.tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")
        os.replace(temporary, path)

    def remove(self, run_dir: Path) -> None:
        """Remove it, unless another process has written its own since."""
        current = read(run_dir, self.service)
        if current is not None and current.pid == self.pid:
            with contextlib.suppress(FileNotFoundError):
                (run_dir / f"{self.service}.json").unlink()

    def endpoint(self, name: str) -> ListenAddress:
        """Return an address by its setting's field, off where the service has none."""
        return ListenAddress.parse(self.endpoints.get(name, ""))


def read(run_dir: Path, service: str) -> RunFile | None:
    """Return the file of a service whose process lives, else None."""
    try:
        run = RunFile(**json.loads((run_dir / f"{service}.json").read_text()))
        os.kill(run.pid, 0)
    except PermissionError:
        return run
    except (OSError, ValueError, TypeError):
        return None
    return run
