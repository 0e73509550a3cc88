"""`python -m tests.bench`: Restante, Dovecot and Courier in turns on this machine.

Writes bench.json and bench.md into --out and prints the table. Needs a disk below --dir (not a
RAM disk, or fsync means nothing), and for Courier root. Ports of 127.0.0.1 only.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.courier import Courier
from tests.bench.mail import Plan
from tests.bench.measure import disk_rate
from tests.bench.peers import Dovecot, MissingError, Peer, Restante
from tests.bench.report import Results, as_json, as_markdown
from tests.bench.workloads import WORKLOADS, LoadError, Options

PEERS = ("restante", "dovecot", "courier")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of load in one round")
    parser.add_argument("--repeats", type=int, default=7, help="of a command timed alone")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--fetch", type=int, default=Plan.fetch, help="messages to FETCH")
    parser.add_argument("--large", type=int, default=Plan.large, help="messages to SELECT")
    parser.add_argument("--idle", type=int, default=Plan.idle, help="idle connections")
    parser.add_argument("--courier-idle", type=int, default=300, help="a process for each")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="of each service of ours"
    )
    parser.add_argument("--hibernate", action="store_true", help="let Dovecot hibernate after 5 s")
    parser.add_argument("--quick", action="store_true", help="one small round, to try it out")
    parser.add_argument("--dir", type=Path, help="where mail is stored (default: a new directory)")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--keep", action="store_true", help="keep the mail directories")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "restante-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="of unpacked packages")
    if "--quick" in sys.argv:
        parser.set_defaults(rounds=1, seconds=1, repeats=3)
        parser.set_defaults(fetch=500, large=2000, idle=50, courier_idle=20)
    return parser.parse_args()


def make_peers(chosen: argparse.Namespace, work: Path, results: Results) -> list[Peer]:
    """Make and start the peers that can run here; note the others."""
    seed = work / "seed"
    plan = results.plan
    makers: dict[str, Callable[[], Peer]] = {
        "restante": lambda: Restante(work, seed, plan, chosen.workers),
        "dovecot": lambda: Dovecot(work, seed, plan, hibernate=chosen.hibernate),
        "courier": lambda: Courier(work, seed, plan, chosen.cache),
    }
    peers: list[Peer] = []
    for name in chosen.peers:
        say(f"preparing {name}")
        try:
            peer = makers[name]()
            peers.append(peer)
            peer.start()
        except MissingError as reason:
            results.missing.append(str(reason))
            if peers and peers[-1].name == name:
                peers.pop().stop()
            say(f"left out: {reason}")
    return peers


def measure(chosen: argparse.Namespace, peers: list[Peer], results: Results) -> None:
    """Run the rounds, the peers in turn, the first one changing from round to round."""
    options = Options(results.plan, chosen.seconds, chosen.repeats, chosen.courier_idle)
    for number in range(-1, chosen.rounds):  # round -1 is the warm-up
        options.warm_up = number < 0
        for workload in WORKLOADS:
            if workload.name not in chosen.only or (workload.once and number):
                continue
            turn = number % len(peers)
            for peer in peers[turn:] + peers[:turn]:
                if workload.protocol not in peer.ports:
                    continue
                try:
                    sample = workload.run(peer, options)
                except LoadError as error:
                    results.failures.append(f"{workload.name}, {peer.name}: {error}")
                    say(f"{workload.name} {peer.name}: {error}")
                    continue
                if number >= 0:
                    results.add(workload.name, peer.name, sample)
                values = ", ".join(f"{k} {v:.2f}" for k, v in sample.values.items())
                label = "warm-up" if number < 0 else f"round {number + 1}"
                say(f"{label}: {workload.name} {peer.name}: {values} {' '.join(sample.notes)}")


def say(text: str) -> None:
    """Print progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run it all; 1 if a workload failed."""
    chosen = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped
    plan = Plan(chosen.fetch, chosen.large, chosen.idle)
    results = Results(plan, len(os.sched_getaffinity(0)))
    if chosen.dir:
        chosen.dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="restante-bench-", dir=chosen.dir or "/var/tmp"))
    work.chmod(0o755)
    peers: list[Peer] = []
    try:
        for threads in (1, 16):
            rate = disk_rate(work / f"disk{threads}", threads, min(chosen.seconds, 3))
            results.disk[f"write, fsync, rename, fsync; {threads} thread(s)"] = rate
        peers = make_peers(chosen, work, results)
        if peers:
            measure(chosen, peers, results)
    except KeyboardInterrupt:
        results.failures.append("interrupted")
    finally:
        for peer in peers:
            peer.stop()
        if not chosen.keep:
            shutil.rmtree(work, ignore_errors=True)
    names = [peer.name for peer in peers]
    if names:
        chosen.out.mkdir(parents=True, exist_ok=True)
        text = as_markdown(results, WORKLOADS, names)
        (chosen.out / "bench.md").write_text(text)
        data = as_json(results, WORKLOADS, names)
        (chosen.out / "bench.json").write_text(json.dumps(data, indent=1))
        print(text)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
