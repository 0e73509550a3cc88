"""`python -m tests.e2e`: start the stack, say where everything is, remove it at Ctrl-C."""

import signal

from tests.e2e import engine
from tests.e2e.stack import DOMAIN, PASSWORD, Stack


def main() -> None:
    """Run until a signal."""
    reason = engine.missing()
    if reason is not None:
        raise SystemExit(reason)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    engine.remove_leftovers()
    with Stack() as stack:
        for name in ("fred", "ann"):
            stack.add_account(f"{name}@{DOMAIN}")
        for name, node in stack.nodes.items():
            bindings = node.container.attrs["HostConfig"]["PortBindings"] or {}
            ports = ", ".join(
                f"{p.split('/')[0]} at {b[0]['HostPort']}" for p, b in bindings.items()
            )
            print(f"{name:12} {node.container.name}  {ports}")
        print(f"accounts fred and ann@{DOMAIN}, password: {PASSWORD}\nCtrl-C ends it", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
