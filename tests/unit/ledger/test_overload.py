"""New requests are turned away before the process is out of memory or of what it may have under way."""

from __future__ import annotations

import sys

import pytest

from headgate.ledger.limits import Full
from headgate.ledger.overload import EVERY, MIB, Overload, resident_bytes


def test_memory_is_looked_at_now_and_then_and_sheds_until_it_is_well_below() -> None:
    used = [0]
    looks = 0

    def resident() -> int:
        nonlocal looks
        looks += 1
        return used[0] * MIB

    overload = Overload(max_bytes=100 * MIB, resident=resident)
    now = 0.0
    for resident_mib, shed in ((50, False), (94, False), (95, True), (92, True), (90, True), (89, False), (94, False)):
        used[0], now = resident_mib, now + EVERY
        for _ in range(3):
            full = overload.refuse(1, now)
        assert (full is not None) == shed
        assert full is None or (full.status, full.what, full.limit) == (503, "overload", 100)
    assert looks == 7


def test_so_many_under_way_and_no_more() -> None:
    overload = Overload(max_in_flight=2)
    assert overload.refuse(1, 0.0) is None
    assert overload.refuse(2, 0.0) == Full(
        subject="gateway", what="overload", limit=2, used=2, retry_after=1.0, per="requests under way", field="max_in_flight"
    )
    assert Overload().refuse(10**9, 0.0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_resident_memory_is_what_the_system_says() -> None:
    assert MIB < resident_bytes() < 100_000 * MIB
