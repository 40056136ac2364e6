"""A tiny app on a real socket with short deadlines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.testing.tiny_server import QUICK, Running, running_app


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_app(QUICK) as server:
        yield server


@pytest.fixture
def server(running: Running) -> Running:
    running.seen.clear()
    return running
