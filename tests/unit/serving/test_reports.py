"""How several processes read their settings, as one state."""

from __future__ import annotations

from headgate.config.reload import ReloadState
from headgate.serving.reports import Reports


def test_a_reading_is_over_when_every_process_has_spoken() -> None:
    reports = Reports()
    assert reports.said(0, ReloadState(2, 1), (0, 1)) is None
    assert reports.said(1, ReloadState(2, 1), (0, 1)) == ReloadState(2, 1)
    assert reports.said(1, ReloadState(2, 2), (0, 1)) is None
    assert reports.said(0, ReloadState(2, 2), (0, 1)) == ReloadState(2, 2)


def test_an_error_of_one_is_the_error_of_all() -> None:
    reports = Reports()
    assert reports.said(0, ReloadState(2, 1, None, ("key",)), (0, 1)) is None
    assert reports.said(1, ReloadState(1, 1, "unknown model"), (0, 1)) == ReloadState(1, 1, "unknown model", ("key",))


def test_a_new_process_has_nothing_to_say_of_a_reading_under_way() -> None:
    reports = Reports()
    assert reports.said(0, ReloadState(2, 1), (0, 1)) is None
    reports.begun(1)
    assert reports.said(0, ReloadState(2, 2), (0, 1)) == ReloadState(2, 1)


def test_processes_that_are_gone_are_not_waited_for() -> None:
    assert Reports().said(0, ReloadState(2, 1), (0,)) == ReloadState(2, 1)
