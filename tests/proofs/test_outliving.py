"""A stream that outlives its key or its budget goes on and is paid for; nothing new is admitted (docs/explanation/budgets.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from headgate.ledger.budgets import Budget
from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Heard, Line, chat_body

ADMIN_KEY = "hg-the-key-of-the-administrator"
STREAM = chat_body("hello", stream=True, usage=True, most=40)
MESSAGES = chat_body("hello", stream=True, most=40)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running_gateway(tmp_path, settings=SimSettings(seed=7, event_gap=0.2), admin_key=ADMIN_KEY) as running:
        yield running


async def status_of(line: Line, path: str, body: bytes) -> int:
    """The status of a request, whose answer is not waited for to its end."""
    reader = await line.send(path, body, anthropic_version="2023-06-01")
    status = int((await reader.readline()).split()[1])
    line.leave()
    return status


def outlived(rig: Rig, key: str, path: str, body: bytes, then: Callable[[], object], refused: int) -> Heard:
    """A stream during which `then` happens, after which the key's requests get `refused`."""

    async def main() -> Heard:
        begun = asyncio.Event()
        port = int(rig.url.rpartition(":")[2])
        stream, other = Line(port, key, on_head=begun.set), Line(port, key)
        task = asyncio.create_task(stream.ask(path, body, anthropic_version="2023-06-01"))
        await begun.wait()
        await asyncio.to_thread(then)
        while await status_of(other, path, body) != refused:
            assert not task.done(), "it was refused while the stream went on"
        assert not task.done()
        heard = await task
        stream.leave()
        other.leave()
        return heard

    return asyncio.run(main())


def administer(rig: Rig, method: str, path: str, body: bytes = b"") -> Heard:
    async def main() -> Heard:
        async with Line(int(rig.url.rpartition(":")[2]), ADMIN_KEY) as line:
            return await line.ask(path, body, method=method)

    return asyncio.run(main())


def nothing() -> None:
    """Time alone does it."""


@pytest.mark.parametrize(("path", "body"), [(CHAT, STREAM), ("/v1/messages", MESSAGES)])
@pytest.mark.parametrize("how", ["expires", "revoked"])
def test_a_stream_outlives_its_key(rig: Rig, path: str, body: bytes, how: str) -> None:
    wanted = {"name": "app", **({"expires_in": 2} if how == "expires" else {})}
    made = json.loads(administer(rig, "POST", "/v1/keys", json.dumps(wanted).encode()).body)
    end = nothing if how == "expires" else lambda: administer(rig, "DELETE", f"/v1/keys/{made['id']}")
    check(rig, outlived(rig, made["key"], path, body, end, 401), made["id"])


@pytest.mark.parametrize(("path", "body"), [(CHAT, STREAM), ("/v1/messages", MESSAGES)])
@pytest.mark.parametrize("limit", [200_000, 1], ids=["used up", "lowered"])
def test_a_stream_outlives_its_budget(rig: Rig, path: str, body: bytes, limit: int) -> None:
    budget = Budget(id="all", scope="global", limit_nanos=200_000, window="total")
    rig.spending.configure((budget,))
    assert wait_for(lambda: bool(rig.spending.accounts.budgets))
    lower = (msgspec.structs.replace(budget, limit_nanos=limit),)
    check(rig, outlived(rig, rig.key, path, body, lambda: rig.loop.call_soon_threadsafe(rig.spending.configure, lower), 402), None)
    books = read_books(Path(rig.ledger.database.place))
    assert [one.spent for one in books.balances] == [rig.sim.bill.total]


def check(rig: Rig, heard: Heard, key: str | None) -> None:
    """The stream came to its end, and was paid for by whoever asked for it."""
    assert heard.whole and (b"[DONE]" in heard.body or b"message_stop" in heard.body)
    assert wait_for(lambda: len(rig.all_receipts()) == len(rig.sim.bill))
    receipts = rig.all_receipts()
    assert {(receipt.key, receipt.status) for receipt in receipts} <= {(key, "ok"), (key, "cancelled")}
    assert receipts[0].status == "ok"
    assert receipts[0].cost_nanos == rig.sim.bill.lines[0].nanos
