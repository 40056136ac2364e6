"""Simulated time for tests: a clock that stands still until it is moved, and one that runs faster than the wall's."""

from __future__ import annotations

from headgate.sim.clock import Clock, ManualClock, ScaledClock

START = 1_780_000_000.0
"""Epoch seconds at which the clocks of the fixtures begin."""

__all__ = ["START", "Clock", "ManualClock", "ScaledClock"]
