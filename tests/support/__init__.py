"""Helpers for tests of whole processes: see `process` for one service, `system` for all."""

from tests.support.process import ServiceProcess, StartError
from tests.support.system import System

__all__ = ["ServiceProcess", "StartError", "System"]
