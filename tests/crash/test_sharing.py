"""What a run shares with others: its folder with a second process, the disk with everybody."""

from __future__ import annotations

import errno
import os
from signal import SIGINT
from typing import TYPE_CHECKING

import pytest

from headgate.batch import segments
from headgate.errors import StoreError
from headgate.sim.settings import SimSettings

if TYPE_CHECKING:
    from tests.crash.conftest import MakeRig

UNITS = 100


def test_a_second_process_is_refused_and_status_reads_on(make_rig: MakeRig) -> None:
    with make_rig(SimSettings(time_scale=30.0)) as rig:
        first = rig.start("sim-openai", "batch")
        assert rig.wait_for(lambda: rig.events() >= 8), "the batch was never submitted"
        second = rig.start("sim-openai", "batch")
        assert second.wait() == 1
        assert f"is driven by process {first.pid}" in second.output
        assert "headgate status" in second.output
        for _ in range(3):
            status = rig.command("status", str(rig.run))
            assert status.wait() == 0, status.output
            assert "running" in status.output and "warning" not in status.output
        first.kill(SIGINT)
        assert first.wait() == 130, first.output
        facts = rig.finish("sim-openai", "batch")
        facts.check_units(UNITS)
        facts.check_submissions()
        facts.check_money()


@pytest.mark.parametrize("mode", ["realtime", "batch"])
@pytest.mark.parametrize("kilobytes", [8, 400])
def test_a_full_disk_stops_the_run_with_its_reason(make_rig: MakeRig, mode: str, kilobytes: int) -> None:
    """A limit on the size of files stands in for a disk without space; afterwards the run goes on as if nothing had been."""
    with make_rig() as rig:
        command = rig.start("sim-openai", mode, file_size=kilobytes << 10)
        code = command.wait()
        assert code in (0, 1), command.output
        if code:
            assert "hint: " in command.output
            assert "Traceback" not in command.output
        assert code == 1 or kilobytes > 8
        facts = rig.finish("sim-openai", mode)
        facts.check_units(UNITS)
        facts.check_submissions()
        if mode == "batch":
            facts.check_money()


def test_a_frame_that_the_disk_refuses_leaves_the_segment_as_it_was(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write fails in turn, whole or in part; what was committed stays readable, and the next frame lies where it should."""
    path = tmp_path / "a.zst"  # type: ignore[operator]
    writer = segments.SegmentWriter(path, 0, 0)
    frames = [writer.append([{"n": 0}])]
    real = os.pwrite
    for fails_after in (0, 5):

        def pwrite(file: int, data: memoryview, offset: int, fails_after: int = fails_after) -> int:
            if fails_after:
                real(file, data[:fails_after], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch, pytest.raises(StoreError, match="No space left"):
            patch.setattr(os, "pwrite", pwrite)
            writer.append([{"n": 99}])
        frames.append(writer.append([{"n": len(frames)}]))
    writer.close()
    assert [segments.read_frame(path, frame) for frame in frames] == [[{"n": n}] for n in range(len(frames))]
