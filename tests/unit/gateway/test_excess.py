"""Requests that ask for absurdly much, and budgets that have nothing left: refused by the book, and nothing of them stays."""

from __future__ import annotations

import gc
import json
import types
from collections.abc import Iterator

import pytest

from headgate.ledger.budgets import Budget
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes

CHAT = "/v1/chat/completions"
HELLO = {"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def own_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("excess")) as running:
        yield running


def ask(rig: Rig, path: str, **fields: object) -> Reply:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", path, json.dumps({**HELLO, **fields}).encode()))
        return wire.reply()


def test_a_budget_without_anything_left_says_so_again_and_again(own_rig: Rig) -> None:
    own_rig.spending.configure((Budget(id="all", scope="global", limit_nanos=200_000, window="total"),))
    assert own_rig.run(_known(own_rig))
    statuses = []
    while not statuses or statuses[-1] == 200:
        statuses.append(ask(own_rig, CHAT, max_tokens=40).status)
        assert len(statuses) < 400
    for path in (CHAT, "/v1/messages", CHAT):
        reply = ask(own_rig, path, max_tokens=40)
        assert reply.status == 402
        assert b"budget" in reply.body and b"0.0002" in reply.body


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("digits", [18, 19, 20, 400])
def test_numbers_that_nothing_can_keep(rig: Rig, field: str, digits: int) -> None:
    assert ask(rig, CHAT, **{field: 10**digits - 1}).status in (200, 400)
    assert ask(rig, "/v1/messages", **{"max_tokens": 5, field: 10**digits - 1}).status in (200, 400)


@pytest.mark.parametrize(
    ("odd", "status", "code"),
    [({"max_tokens": 10**30}, 402, "cost_unbounded"), ({"messages": "Name three rivers."}, 400, "invalid_request")],
)
def test_what_has_no_bound(own_rig: Rig, odd: dict[str, object], status: int, code: str) -> None:
    own_rig.spending.configure((Budget(id="all", scope="global", limit_nanos=10**15, window="total"),))
    assert own_rig.run(_known(own_rig))
    reply = ask(own_rig, CHAT, **odd)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)


async def _known(rig: Rig) -> bool:
    while not rig.spending.accounts.budgets:
        await rig.spending.refresh()
    return True


def test_thousands_of_unknown_fields_are_a_few_lines_of_a_receipt(own_rig: Rig) -> None:
    own_rig.calm()
    invented = {f"k{number}": 0 for number in range(2000)}
    assert ask(own_rig, "/v1/messages", max_tokens=9, **invented, **{"long" * 1000: 1}).status == 200
    (receipt,) = own_rig.receipts(1)
    assert len(receipt.notes) == 101
    assert receipt.notes[-1].reason.startswith("and 19")
    assert max(len(note.field) for note in receipt.notes) <= 201


def test_nothing_holds_a_request_that_a_provider_refused(own_rig: Rig) -> None:
    """No circle of references is left for the garbage collector, whose turn comes late."""

    async def kept() -> list[str]:
        gc.collect()
        found = [one.f_code.co_qualname for one in gc.garbage if isinstance(one, types.FrameType)]
        gc.set_debug(0)
        gc.garbage.clear()
        return found

    ask(own_rig, "/v1/messages", max_tokens=9, messages=[])
    own_rig.run(own_rig.spending.drain())
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert ask(own_rig, "/v1/messages", max_tokens=9, messages=[]).status == 400
        frames = own_rig.run(kept())
    finally:
        gc.set_debug(0)
        gc.enable()
    assert [name for name in frames if not name.startswith("test_")] == []
