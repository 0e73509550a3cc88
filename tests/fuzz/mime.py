"""Throw mutated messages at the MIME parser: `python -m tests.fuzz.mime [--seconds 60] [--seed 1]`.

Checked for each: nothing raises, every offset nests, the facts pack and unpack, sections lie
inside the message, and no message costs more than a second of CPU.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from restante.mime import parse
from restante.mime.dates import parse_date
from restante.mime.headers import decode_words
from restante.mime.text import text_contains
from restante.store.facts import Facts, compute_facts
from tests.unit.mime.test_message import ALTERNATIVE, FLOODS, check_offsets

TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b"--", b"--b", b";", b"=", b'"', b"\\", b"(", b")", b"<", b">"),
    *(b"@", b",", b":", b"*", b"'", b"%", b"=?utf-8?q?", b"?=", b"\xff", b"\xc3", b" ", b"\t"),
    b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"\r\nContent-Type: message/rfc822\r\n\r\n",
    b"\r\nContent-Transfer-Encoding: base64\r\n",
)


def mutate(rng: random.Random, wire: bytes) -> bytes:
    """Return wire with a few edits: deletion, repetition, tokens, swapped bytes."""
    data = bytearray(wire)
    for _ in range(rng.randint(1, 8)):
        at = rng.randint(0, len(data))
        kind = rng.randrange(4)
        if kind == 0:
            del data[at : at + rng.randint(1, 40)]
        elif kind == 1:
            data[at:at] = data[at : at + rng.randint(1, 200)] * rng.randint(1, 3)
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS) * rng.choice((1, 1, 1, 50))
        elif at < len(data):
            data[at] = rng.randrange(256)
    return bytes(data[:200_000])


def check(wire: bytes) -> None:
    """Raise AssertionError, or whatever the parser raises, for a fault."""
    start = time.process_time()
    root = parse(wire)
    check_offsets(root, 0, len(wire))
    facts = compute_facts(wire)
    again = Facts(facts.pack())
    assert again == facts
    for path in ([1], [2], [1, 1], [2, 1], [1, 2, 1]):
        section = again.section(path)
        assert section is None or section.header <= section.body <= section.end <= len(wire)
    text_contains(wire, root, "no such text")
    decode_words(wire)
    parse_date(wire)
    assert time.process_time() - start < 5  # quadratic work would take minutes


def main() -> int:
    """Run until the time is over; print and keep the first message that fails."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--corpus", type=Path, help="directory of *.eml to start from")
    chosen = options.parse_args()
    rng = random.Random(chosen.seed)
    pool = [ALTERNATIVE, *(flood[:2000] for flood in FLOODS.values())]
    if chosen.corpus:
        pool += [file.read_bytes() for file in sorted(chosen.corpus.glob("*.eml"))]
    deadline = time.monotonic() + chosen.seconds
    runs = 0
    while time.monotonic() < deadline:
        wire = mutate(rng, rng.choice(pool))
        runs += 1
        try:
            check(wire)
        except Exception:
            Path(f"fuzz-mime-{chosen.seed}-{runs}.eml").write_bytes(wire)
            print(f"seed {chosen.seed}, run {runs}: kept as fuzz-mime-*.eml", file=sys.stderr)
            raise
        if rng.random() < 0.02:
            pool[rng.randrange(len(pool))] = wire
    print(f"{runs} messages, seed {chosen.seed}: no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
