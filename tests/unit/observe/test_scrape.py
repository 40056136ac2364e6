"""Several processes, one answer; no counter ever falls."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.errors import StoreError
from headgate.observe.counters import Counters
from headgate.observe.scrape import Scraper, SnapshotFolder
from headgate.wire.json import Json

Reader = Callable[[bytes], Json]


class Process:
    """A process of a gateway, as far as its counts go."""

    def __init__(self, folder: Path, slot: int, now: Callable[[], float]) -> None:
        self.counters = Counters()
        shared = SnapshotFolder(folder, slot)
        before = shared.restore()
        if before is not None:
            self.counters.restore(before)
        self.scraper = Scraper(self.counters, now, "1", shared)

    def hit(self) -> None:
        self.counters.event("cache", "hit")


def test_whoever_is_asked_tells_of_all(tmp_path: Path, exposed: Reader) -> None:
    async def main() -> list[float]:
        processes = [Process(tmp_path, slot, lambda: 1.0) for slot in range(3)]
        for process in processes:
            process.hit()
            await process.scraper.publish()
        return [exposed(await process.scraper.text()).value("headgate_cache_lookups_total", result="hit") for process in processes]

    assert asyncio.run(main()) == [3, 3, 3]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


steps = st.lists(st.tuples(st.sampled_from(["hit", "publish", "scrape", "kill"]), st.integers(0, 2)), max_size=40)


@given(steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_no_counter_ever_falls(tmp_path_factory: pytest.TempPathFactory, exposed: Reader, script: list[tuple[str, int]]) -> None:
    """Processes count, are asked, are killed without a word and are replaced: what is told never becomes less."""
    folder = tmp_path_factory.mktemp("counts")

    async def main() -> None:
        processes = [Process(folder, slot, lambda: 1.0) for slot in range(3)]
        told = 0.0
        for word, slot in script:
            if word == "hit":
                processes[slot].hit()
            elif word == "publish":
                await processes[slot].scraper.publish()
            elif word == "kill":
                processes[slot] = Process(folder, slot, lambda: 1.0)
            else:
                value = exposed(await processes[slot].scraper.text()).value("headgate_cache_lookups_total", result="hit")
                assert value >= told
                told = value

    asyncio.run(main())


def test_a_process_on_its_own_writes_nothing(tmp_path: Path, exposed: Reader) -> None:
    text = asyncio.run(Scraper(Counters(), lambda: 1.0).text())
    assert exposed(text).types["headgate_cache_lookups_total"] == "counter"


def test_what_is_no_snapshot_is_told(tmp_path: Path) -> None:
    (tmp_path / "7.json").write_text("{")
    with pytest.raises(StoreError, match="holds no counts"):
        asyncio.run(Scraper(Counters(), lambda: 1.0, "", SnapshotFolder(tmp_path, 0)).text())


def test_a_folder_that_is_gone_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "counts"
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            folder.mkdir()
        elif turns == 4:
            raise asyncio.CancelledError

    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        asyncio.run(Scraper(Counters(), lambda: 1.0, "", SnapshotFolder(folder, 0)).keep_publishing(sleep))
    assert [record.message.startswith("counts cannot be written") for record in caplog.records] == [True]
    assert (folder / "0.json").exists()
