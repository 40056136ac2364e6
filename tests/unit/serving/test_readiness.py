"""Readiness: reasons at once, consequences late, and no flapping."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import StoreError
from headgate.serving.memory import memory_limit
from headgate.serving.readiness import FRESH, PATIENCE, RECOVERY, Check, Probe, Readiness, Report, decide_check, decide_report


class World:
    """A clock, and dependencies that can be broken."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wrong: dict[str, str | Exception | None] = {}
        self.asked = 0

    def probe(self, name: str) -> Probe:
        async def look() -> str | None:
            self.asked += 1
            wrong = self.wrong.get(name)
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

        return look

    def readiness(self) -> Readiness:
        return Readiness(lambda: self.now, {"ledger": self.probe("ledger")}, {"reload": self.probe("reload")})

    def report(self, readiness: Readiness, after: float = FRESH) -> Report:
        self.now += after
        return asyncio.run(readiness.report())


def test_a_blip_of_the_store_does_not_take_the_process_out() -> None:
    world = World()
    readiness = world.readiness()
    assert world.report(readiness) == Report("ready", {"ledger": "ok", "reload": "ok"})
    world.wrong["ledger"] = "unreachable"
    assert world.report(readiness) == Report("degraded", {"ledger": "unreachable", "reload": "ok"})
    assert world.report(readiness, PATIENCE - 1).status == "degraded"
    assert world.report(readiness, 1).status == "unready"
    world.wrong["ledger"] = None
    assert world.report(readiness) == Report("unready", {"ledger": "recovering", "reload": "ok"})
    assert world.report(readiness) == Report("ready", {"ledger": "ok", "reload": "ok"})


def test_what_one_can_do_without_only_degrades() -> None:
    world = World()
    readiness = world.readiness()
    world.wrong["reload"] = "the last settings were refused"
    assert [world.report(readiness, 100).status for _ in range(3)] == ["degraded"] * 3


def test_asking_often_costs_nothing() -> None:
    world = World()
    readiness = world.readiness()
    for _ in range(50):
        world.report(readiness, 0.0)
    assert world.asked == 2


@pytest.mark.parametrize("wrong", [StoreError("/secret/ledger.db is damaged"), "postgresql://user:pass@host", "ESC\x1b[2J"])
def test_no_path_host_or_secret_is_told(wrong: str | Exception) -> None:
    world = World()
    readiness = world.readiness()
    world.wrong["ledger"] = wrong
    assert world.report(readiness).checks["ledger"] == "failing"


def test_a_process_that_stops_is_not_ready() -> None:
    world = World()
    readiness = world.readiness()
    readiness.stop()
    assert world.report(readiness) == Report("unready", {"ledger": "ok", "reload": "ok", "server": "stopping"})


def test_a_probe_that_hangs_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.serving.readiness.PROBE_TIMEOUT", 0.01)

    async def hang() -> str | None:
        await asyncio.Event().wait()
        return None

    report = asyncio.run(Readiness(lambda: 1.0, {"ledger": hang}).report())
    assert report == Report("degraded", {"ledger": "slow"})


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 20.0)), max_size=60))
def test_down_only_after_patience_and_up_only_after_recovery(looks: list[tuple[bool, float]]) -> None:
    check, now, failing, good = Check(True), 0.0, None, RECOVERY
    for fine, pause in looks:
        now += pause
        before, check = check, decide_check(check, None if fine else "broken", now)
        failing = None if fine else now if failing is None else failing
        good = good + 1 if fine else 0
        if check.down and not before.down:
            assert failing is not None
            assert now - failing >= PATIENCE
        if before.down and not check.down:
            assert good >= RECOVERY
        assert decide_report({"x": check}, stopping=False).status == ("unready" if check.down else "ready" if fine else "degraded")


def test_what_the_system_says_of_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cgroup")
    (folder / "max").write_text("max\n")
    (folder / "limit").write_text("1048576\n")
    (folder / "none").write_text(f"{2**63 - 4096}\n")
    assert memory_limit((folder / "absent", folder / "max", folder / "limit")) == 1048576
    assert memory_limit((folder / "max", folder / "none")) is None
