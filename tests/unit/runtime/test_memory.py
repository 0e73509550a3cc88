"""Large blocks are given back to the system although others lie behind them."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from restante.runtime.memory import map_large_blocks
if sys.argv[1] == "fixed":
    assert map_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(512 * 1024))  # glibc raises its threshold here
heap = open("/proc/self/maps").read()
block = libc.malloc(256 * 1024)
lines = [line for line in open("/proc/self/maps") if "[heap]" in line]
start, end = (int(part, 16) for part in lines[0].split()[0].split("-"))
print("heap" if start <= block < end else "mapped")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(("mode", "where"), [("fixed", "mapped"), ("default", "heap")])
def test_blocks_stay_mapped(mode: str, where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == where
