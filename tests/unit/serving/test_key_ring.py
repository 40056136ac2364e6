"""The keys in memory: what is let in, how soon a change is noticed, and what holds while the store is away (faults H1 to H12, F9)."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.config import Secret
from headgate.errors import StoreError
from headgate.ledger import Ledger
from headgate.ledger.key_form import Pepper, new_id, new_key
from headgate.ledger.key_store import KeyStore, Look, Made, News
from headgate.ledger.keys import KeyBudget, KeyChange, VirtualKey
from headgate.ledger.principal import CALLER
from headgate.ledger.rights import ADMIN
from headgate.serving.envelopes import Refused
from headgate.serving.key_ring import FRESH, GRACE, INTERVAL, KeyRing
from headgate.serving.throttle import BURST
from headgate.store.connection import Connection

PEPPER = Pepper(Secret("p" * 32))
BUDGET = KeyBudget(limit_nanos=1)


class Rig:
    """A store whose failures and time are at hand, and rings over it, which share one clock."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder / "ledger.db")
        self.keys = KeyStore(self.ledger.database, PEPPER, time=self.database_time)
        self.time = 1000.0
        self.ahead = 1_800_000_000.0
        self.down = False
        self.looks: list[str] = []
        self.pepper = PEPPER
        self.told: list[VirtualKey] = []
        self.errors: list[StoreError] = []

    def database_time(self, connection: Connection) -> float:
        return self.time + self.ahead

    def look(self, id: str, since: int) -> Look:
        self.looks.append(id)
        self.check()
        return self.keys.look(id, since)

    def news(self, since: int) -> News:
        self.check()
        return self.keys.news(since)

    def check(self) -> None:
        if self.down:
            raise StoreError("it is away")

    def ring(self, **options: object) -> KeyRing:
        return KeyRing(
            self,
            [(Secret("the-key-of-the-settings"), CALLER)],
            random=bytes(32),
            clock=lambda: self.time,
            on_key=self.told.append,
            on_error=self.errors.append,
            **options,
        )

    def make(self, **fields: object) -> Made:
        return self.keys.create(KeyChange(**fields), ADMIN)


def raw(made: Made) -> bytes:
    return made.secret.reveal().encode()


def refused(work: Awaitable[object]) -> Awaitable[tuple[int, str | None]]:
    """Status and code of the refusal that `work` ends with."""

    async def run() -> tuple[int, str | None]:
        with pytest.raises(Refused) as caught:
            await work
        return caught.value.status, caught.value.code

    return run()


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Rig], Awaitable[None]]], None]:
    """Run a scene on a rig."""

    def run(scene: Callable[[Rig], Awaitable[None]]) -> None:
        rig = Rig(tmp_path)

        async def main() -> None:
            await scene(rig)

        try:
            asyncio.run(main())
        finally:
            rig.ledger.close()

    return run


Play = Callable[[Callable[[Rig], Awaitable[None]]], None]


def test_a_key_is_looked_up_once(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(team="a"), rig.ring()
        assert ring.find(raw(made)) is None
        found = await ring.load(raw(made))
        assert (found.key_id, found.team) == (made.key.id, "a")
        assert ring.find(raw(made)) is found
        assert await ring.load(raw(made)) is found
        assert rig.looks == [made.key.id]
        assert rig.told[-1] == made.key

    play(scene)


def test_many_requests_with_one_key_share_a_look(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        found = await asyncio.gather(*(ring.load(raw(made)) for _ in range(50)))
        assert len(set(map(id, found))) == 1
        assert len(rig.looks) == 1

    play(scene)


def test_a_request_that_gives_up_takes_nothing_from_others(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        first, second = asyncio.create_task(ring.load(raw(made))), asyncio.create_task(ring.load(raw(made)))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).key_id == made.key.id

    play(scene)


def test_the_settings_key_needs_no_store(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        rig.down = True
        ring = rig.ring()
        assert ring.find(b"the-key-of-the-settings") is CALLER
        rig.time += 10 * GRACE
        assert ring.find(b"the-key-of-the-settings") is CALLER
        assert await refused(ring.load(b"the-key-of-the-setting")) == (401, "invalid_api_key")
        assert not rig.looks

    play(scene)


def test_no_key_at_all() -> None:
    ring = KeyRing(None, random=bytes(32))
    assert asyncio.run(_status(ring, b"hg-whatever")) == (401, "invalid_api_key")


async def _status(ring: KeyRing, presented: bytes) -> tuple[int, str | None]:
    return await refused(ring.load(presented))


def test_wrong_keys(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, other, ring = rig.make(), rig.make(), rig.ring()
        await ring.load(raw(made))
        chimera = made.secret.reveal()[:16] + other.secret.reveal()[16:]
        for presented in (chimera.encode(), raw(made)[:-1], raw(made) + b"a", raw(made).upper(), b"", raw(made) + b"\0"):
            assert ring.find(presented) is None
            assert await refused(ring.load(presented)) == (401, "invalid_api_key")
        assert len(rig.looks) == 1, "a wrong checksum costs no look"

    play(scene)


def well_formed(n: int, id: str | None = None) -> bytes:
    """A key with a right checksum that nobody made."""
    seed = hashlib.sha256(str(n).encode()).digest()
    return new_key(id or new_id(seed[:8]), seed[:20]).reveal().encode()


def test_guessing_is_held_up_and_costs_nothing_to_repeat(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, late, ring = rig.make(), rig.make(), rig.ring()
        await ring.load(raw(made), "10.0.0.1")
        for _ in range(100):
            assert await refused(ring.load(well_formed(0), "10.0.0.1")) == (401, "invalid_api_key")
        assert len(rig.looks) == 2
        codes = [await refused(ring.load(well_formed(n), "10.0.0.1")) for n in range(1, 60)]
        assert codes.count((401, "invalid_api_key")) == BURST - 1
        assert codes[-1] == (429, "too_many_wrong_keys")
        assert len(rig.looks) == 1 + BURST
        assert ring.find(raw(made)) is not None, "a key in use is not held up"
        assert await refused(ring.load(raw(late), "10.0.0.1")) == (429, "too_many_wrong_keys")
        assert (await ring.load(raw(late), "10.0.0.2")).key_id == late.key.id

    play(scene)


@pytest.mark.parametrize("act", ["revoke", "disable", "expire"])
def test_another_process_notices_within_its_bound(play: Play, act: str) -> None:
    async def scene(rig: Rig) -> None:
        made, one, two = rig.make(expires=rig.time + rig.ahead + 100.0), rig.ring(), rig.ring()
        for ring in (one, two):
            await ring.load(raw(made))
        if act == "revoke":
            rig.keys.revoke(made.key.id, ADMIN)
        elif act == "disable":
            rig.keys.change(made.key.id, KeyChange(disabled=True), ADMIN)
        else:
            rig.keys.change(made.key.id, KeyChange(expires=rig.time + rig.ahead - 1.0), ADMIN)
        await one.refresh()
        assert one.find(raw(made)) is None
        code = {"revoke": "revoked_api_key", "disable": "disabled_api_key", "expire": "expired_api_key"}[act]
        assert await refused(one.load(raw(made))) == (401, code)
        rig.time += FRESH  # the other one never looked: what it remembers is not good any longer
        assert two.find(raw(made)) is None
        assert await refused(two.load(raw(made))) == (401, code)
        assert FRESH + INTERVAL <= 5.0

    play(scene)


def test_a_key_is_good_again_once_it_is_enabled(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(disabled=True), rig.ring()
        assert await refused(ring.load(raw(made))) == (401, "disabled_api_key")
        rig.keys.change(made.key.id, KeyChange(disabled=False), ADMIN)
        await ring.refresh()
        assert (await ring.load(raw(made))).key_id == made.key.id

    play(scene)


def test_what_changes_is_in_force_with_the_next_request(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        await ring.load(raw(made))
        rig.keys.change(made.key.id, KeyChange(models=("a/*",)), ADMIN)
        await ring.refresh()
        assert rig.told[-1].models == ("a/*",)
        assert (await ring.load(raw(made))).models == ("a/*",)

    play(scene)


def test_a_key_expires_by_the_time_of_the_database(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        for ahead in (1_800_000_000.0, 1_800_000_300.0):
            rig.ahead = ahead
            made, ring = rig.make(expires=rig.time + ahead + 10.0), rig.ring()
            await ring.load(raw(made))
            for _ in range(9):
                rig.time += 1.0
                await ring.refresh()
            assert ring.find(raw(made)) is not None
            rig.time += 1.0
            await ring.refresh()
            assert ring.find(raw(made)) is None
            assert await refused(ring.load(raw(made))) == (401, "expired_api_key")

    play(scene)


def test_after_a_rotation_both_secrets_are_good_for_a_while(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        first, ring = rig.make(), rig.ring()
        await ring.load(raw(first))
        second = rig.keys.rotate(first.key.id, ADMIN, 60.0)
        await ring.refresh()
        assert (await ring.load(raw(first))).key_id == (await ring.load(raw(second))).key_id
        rig.time += 59.0
        await ring.refresh()
        assert ring.find(raw(first)) is not None
        rig.time += 1.0
        await ring.refresh()
        assert ring.find(raw(first)) is None
        assert ring.find(raw(second)) is not None
        assert await refused(ring.load(raw(first))) == (401, "invalid_api_key")

    play(scene)


def test_while_the_store_is_away(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        free, capped, warned, unseen = (
            rig.make(),
            rig.make(budget=BUDGET),
            rig.make(budget=KeyBudget(limit_nanos=1, action="warn")),
            rig.make(),
        )
        ring = rig.ring()
        for made in (free, capped, warned):
            await ring.load(raw(made))
        rig.down = True
        await ring.refresh()
        assert rig.errors
        rig.time += GRACE - 0.1
        assert (await ring.load(raw(free))).key_id == free.key.id
        assert (await ring.load(raw(warned))).key_id == warned.key.id
        assert ring.find(raw(capped)) is None
        for made in (capped, unseen):
            assert await refused(ring.load(raw(made))) == (503, "store_unavailable")
        rig.time += 0.2
        assert await refused(ring.load(raw(free))) == (503, "store_unavailable")
        rig.down = False
        for made in (free, capped, unseen):
            assert (await ring.load(raw(made))).key_id == made.key.id

    play(scene)


def test_without_a_word_of_failure_nothing_is_good_for_longer(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        await ring.load(raw(made))
        rig.time += FRESH
        assert ring.find(raw(made)) is None
        rig.down = True
        assert (await ring.load(raw(made))).key_id == made.key.id
        assert ring.find(raw(made)) is not None

    play(scene)


def test_who_is_capped_may_be_decided_elsewhere(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(team="capped"), rig.ring(budgeted=lambda key: key.team == "capped")
        await ring.load(raw(made))
        rig.down = True
        await ring.refresh()
        assert await refused(ring.load(raw(made))) == (503, "store_unavailable")

    play(scene)


def test_an_answer_older_than_what_is_known_is_asked_for_again(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        await ring.refresh()
        first, going = rig.keys.look(made.key.id, 0), threading.Event()
        answers = iter([first])

        def look(id: str, since: int) -> Look:
            old = next(answers, None)
            if old is not None:
                going.wait(10)
            return old or rig.keys.look(id, since)

        rig.look = look
        waiting = asyncio.create_task(ring.load(raw(made)))
        await asyncio.sleep(0)
        rig.keys.revoke(made.key.id, ADMIN)
        await ring.refresh()
        going.set()
        assert await refused(waiting) == (401, "revoked_api_key")

    play(scene)


def test_the_task_keeps_looking(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made = rig.make()
        async with rig.ring(interval=0.001) as ring:
            await ring.load(raw(made))
            noticed = asyncio.Event()
            loop = asyncio.get_running_loop()
            ring._on_key = lambda key: loop.call_soon(noticed.set)
            rig.keys.revoke(made.key.id, ADMIN)
            async with asyncio.timeout(10):
                await noticed.wait()
            assert ring.find(raw(made)) is None

    play(scene)


def test_memory_knows_keys_by_all_of_them(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        made, ring = rig.make(), rig.ring()
        await ring.load(raw(made))
        assert raw(made) not in repr(vars(ring)).encode()
        assert all(len(digest) == 32 for digest in ring._seats)
        for cut in range(len(raw(made))):
            assert ring.find(raw(made)[:cut]) is None

    play(scene)


@settings(max_examples=300)
@given(st.binary(max_size=300))
@example(b"' OR '1'='1")
@example(b"'; DROP TABLE virtual_key; --")
@example(b"hg-aaaaaaaaaaaa-\x00")
@example(b"\xff" * 128)
def test_no_header_reaches_the_store_or_breaks_anything(presented: bytes) -> None:
    class Nowhere:
        pepper = PEPPER

        def look(self, id: str, since: int) -> Look:
            raise AssertionError("asked")

        def news(self, since: int) -> News:
            raise AssertionError("asked")

    ring = KeyRing(Nowhere(), random=bytes(32))
    assert ring.find(presented) is None
    assert asyncio.run(_status(ring, presented)) == (401, "invalid_api_key")
