"""Keys in the database: who sees and changes which, the trail of it, and that nothing kept opens anything (faults H3 to H8, J7)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from headgate.config import Secret
from headgate.errors import ConfigError, UsageError
from headgate.ledger import Ledger
from headgate.ledger.audit import Deed
from headgate.ledger.key_form import Pepper
from headgate.ledger.key_store import KeyStore, NoSuchKey
from headgate.ledger.keys import KeyBudget, KeyChange, LimitsChange, principal_of
from headgate.ledger.principal import CALLER, Principal
from headgate.ledger.rights import ADMIN, NotAllowed
from headgate.store.connection import Connection

PEPPER = Pepper(Secret("p" * 32))
MINTING = frozenset({"keys:write", "completions:read", "models:read"})


REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError)


def run(ledger: Ledger, *statements: str) -> None:
    """Do to the database what nobody should."""

    def write(connection: Connection) -> None:
        for sql in statements:
            connection.execute(sql)

    ledger.database.write_now(write)


class Clock:
    """The database's time."""

    now = 1_800_000_000.0

    def __call__(self, connection: Connection) -> float:
        return self.now


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(ledger: Ledger, clock: Clock) -> KeyStore:
    return KeyStore(ledger.database, PEPPER, time=clock)


def minter(store: KeyStore, **fields: object) -> Principal:
    """The bearer of a new key that may make keys."""
    return principal_of(store.create(msgspec.convert({"scopes": MINTING, **fields}, KeyChange), ADMIN).key)


def test_all_of_a_key_comes_back(store: KeyStore, clock: Clock) -> None:
    budget = KeyBudget(limit_nanos=5_000_000_001, window="rolling:3600", action="clamp")
    change = KeyChange(
        name="an app",
        owner="o",
        team="t",
        user="u@example.org",
        tags=("a", "b"),
        models=("openai/*",),
        expires=1_900_000_000.5,
        max_output=100,
        limits=LimitsChange(rpm=1, tpm=2, input_tpm=3, output_tpm=4, concurrency=5),
        budget=budget,
        recording="record",
    )
    made = store.create(change, ADMIN)
    assert store.get(made.key.id, ADMIN) == made.key
    assert store.list(ADMIN) == (made.key,)
    assert made.key.created == clock.now
    assert made.key.budget == budget
    assert made.key.created_by == ADMIN.name
    assert PEPPER.public_id(made.secret.reveal().encode()) == made.key.id


def test_looking_finds_what_is_kept(store: KeyStore, clock: Clock) -> None:
    made = store.create(KeyChange(), ADMIN)
    look = store.look(made.key.id, 0)
    assert look.kept is not None
    assert look.kept.key == made.key
    assert look.kept.seals.now == PEPPER.seal(made.secret.reveal().encode())
    assert look.news.changed == (made.key,)
    assert look.news.now == clock.now
    assert store.look("nothing", look.news.version) == msgspec.structs.replace(look, kept=None, news=store.news(look.news.version))


def test_every_change_is_news(store: KeyStore) -> None:
    made = store.create(KeyChange(), ADMIN)
    seen = store.news(0).version
    assert store.news(seen).changed == ()
    for act in (
        lambda: store.change(made.key.id, KeyChange(name="n"), ADMIN),
        lambda: store.rotate(made.key.id, ADMIN, 5.0),
        lambda: store.revoke(made.key.id, ADMIN),
    ):
        act()
        news = store.news(seen)
        assert [key.id for key in news.changed] == [made.key.id]
        assert news.version > seen
        seen = news.version


def test_rotation_keeps_the_secret_before_for_a_while(store: KeyStore, clock: Clock) -> None:
    first = store.create(KeyChange(), ADMIN)
    second = store.rotate(first.key.id, ADMIN, 60.0)
    look = store.look(first.key.id, 0)
    assert look.kept is not None
    old, new = (PEPPER.seal(made.secret.reveal().encode()) for made in (first, second))
    assert (look.kept.seals.now, look.kept.seals.old, look.kept.seals.old_until) == (new, old, clock.now + 60)
    store.rotate(first.key.id, ADMIN)
    look = store.look(first.key.id, 0)
    assert look.kept is not None
    assert (look.kept.seals.old, look.kept.seals.old_until) == (None, None)


def test_a_key_of_another_system_can_be_brought_along_once(store: KeyStore) -> None:
    brought = Secret("gs_live_" + "aB3-" * 8)
    made = store.create(KeyChange(name="old"), ADMIN, brought)
    assert made.secret == brought
    assert store.look(made.key.id, 0).kept is not None
    with pytest.raises(UsageError, match="already"):
        store.create(KeyChange(), ADMIN, brought)
    for text in ("sk-something-else-0123456789abcdef", "gs_live_short", "ä" * 40):
        with pytest.raises(UsageError, match="gs_live_"):
            store.create(KeyChange(), ADMIN, Secret(text))
    assert len(store.trail()) == 1, "what was refused is not in the trail"


# Tenants


def test_others_see_their_tenants_keys_and_change_those_they_made(store: KeyStore) -> None:
    anna, boris = minter(store, team="a"), minter(store, team="b")
    sister = store.create(KeyChange(team="a"), ADMIN).key
    child = store.create(KeyChange(name="child"), anna).key
    assert child.team == "a" and child.lineage == (anna.key_id,)
    assert {key.id for key in store.list(anna)} == {anna.key_id, sister.id, child.id}
    assert {key.id for key in store.list(boris)} == {boris.key_id}
    for id in (anna.key_id, sister.id, child.id):
        for act in (
            lambda id: store.get(id, boris),
            lambda id: store.change(id, KeyChange(name="x"), boris),
            lambda id: store.rotate(id, boris),
            lambda id: store.revoke(id, boris),
        ):
            with pytest.raises(NoSuchKey):
                act(id)
    for act in (
        lambda: store.change(sister.id, KeyChange(name="x"), anna),
        lambda: store.rotate(sister.id, anna),
        lambda: store.revoke(sister.id, anna),
        lambda: store.change(anna.key_id, KeyChange(budget=None), anna),
        lambda: store.revoke(anna.key_id, anna),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert store.change(child.id, KeyChange(name="y"), anna).name == "y"
    assert store.rotate(child.id, anna).key.id == child.id
    assert store.rotate(anna.key_id, anna).key.id == anna.key_id
    assert [key.id for key in store.revoke(child.id, anna)] == [child.id]


def test_a_key_of_nobody_has_only_itself_and_what_it_made(store: KeyStore) -> None:
    one, other = minter(store), minter(store)
    child = store.create(KeyChange(), one).key
    assert {key.id for key in store.list(one)} == {one.key_id, child.id}
    assert {key.id for key in store.list(other)} == {other.key_id}
    assert store.list(CALLER) == ()


def test_a_change_gives_no_more_than_the_changer_has(store: KeyStore) -> None:
    anna = minter(store, team="a", models=["openai/*"], expires=1_900_000_000.0)
    child = store.create(KeyChange(), anna).key
    assert (child.models, child.expires) == (("openai/*",), 1_900_000_000.0)
    for change in (
        KeyChange(models=()),
        KeyChange(models=("*",)),
        KeyChange(scopes=frozenset({"usage:read"})),
        KeyChange(scopes=frozenset({"admin"})),
        KeyChange(team=None),
        KeyChange(owner="o"),
        KeyChange(expires=None),
    ):
        with pytest.raises(NotAllowed):
            store.create(change, anna)
        with pytest.raises(NotAllowed):
            store.change(child.id, change, anna)
    assert store.get(child.id, ADMIN) == child


def test_a_secret_is_not_given_for_a_key_that_can_do_more_by_now(store: KeyStore) -> None:
    anna = minter(store, team="a")
    child = store.create(KeyChange(), anna).key
    store.change(child.id, KeyChange(scopes=frozenset({"usage:read"})), ADMIN)
    with pytest.raises(NotAllowed):
        store.rotate(child.id, anna)
    with pytest.raises(NotAllowed):
        store.rotate(anna.key_id, msgspec.structs.replace(anna, scopes=frozenset()))


def test_revoking_with_what_it_made(store: KeyStore) -> None:
    anna = minter(store, team="a")
    child = principal_of(store.create(KeyChange(scopes=MINTING), anna).key)
    grandchild = store.create(KeyChange(), child).key
    assert grandchild.lineage == (child.key_id, anna.key_id)
    assert {key.id for key in store.revoke(anna.key_id, ADMIN, made=True)} == {anna.key_id, child.key_id, grandchild.id}
    assert {key.status(0.0) for key in store.list(ADMIN)} == {"revoked"}
    with pytest.raises(UsageError, match="revoked for good"):
        store.change(grandchild.id, KeyChange(disabled=False), ADMIN)
    with pytest.raises(UsageError, match="revoked for good"):
        store.rotate(grandchild.id, ADMIN)


def test_pages(store: KeyStore) -> None:
    made = sorted(store.create(KeyChange(), ADMIN).key.id for _ in range(5))
    first = store.list(ADMIN, limit=3)
    assert [key.id for key in (*first, *store.list(ADMIN, first[-1].id, 3))] == made


# What is kept


def test_nothing_that_is_kept_is_a_key(store: KeyStore, ledger: Ledger) -> None:
    made = store.create(KeyChange(name="n", team="t"), ADMIN)
    store.rotate(made.key.id, ADMIN, 60.0)
    store.create(KeyChange(), ADMIN, Secret("gs_live_" + "a" * 32))
    kept: list[bytes] = []
    for table in ("virtual_key", "audit", "pepper"):
        for row in ledger.database.read(lambda connection, table=table: connection.execute(f"SELECT * FROM {table}").fetchall()):
            for value in row:
                kept += [value, value.hex().encode()] if isinstance(value, bytes) else [str(value).encode()]
    for value in kept:
        for raw in (value, b"hg-" + value, b"Bearer " + value):
            id = PEPPER.public_id(raw)
            assert id is None or store.look(id, 0).kept is None
    assert made.secret.reveal().encode()[16:] not in b"\n".join(kept)


def test_another_pepper_is_noticed_at_the_start(store: KeyStore, ledger: Ledger) -> None:
    KeyStore(ledger.database, Pepper(Secret("p" * 32)))
    with pytest.raises(ConfigError, match="another pepper"):
        KeyStore(ledger.database, Pepper(Secret("q" * 32)))


# The trail


def test_every_deed_is_in_the_trail(store: KeyStore) -> None:
    made = store.create(KeyChange(name="n"), ADMIN)
    store.change(made.key.id, KeyChange(name="m"), ADMIN)
    store.rotate(made.key.id, ADMIN)
    store.revoke(made.key.id, ADMIN)
    entries = store.trail()
    assert [entry.deed.action for entry in entries] == ["key.revoke", "key.rotate", "key.change", "key.create"]
    assert {entry.deed.object for entry in entries} == {made.key.id}
    assert entries[2].deed.detail["name"] == "m"
    assert made.secret.reveal() not in "".join(entry.text for entry in entries)
    assert store.trail_break() is None


def test_what_cannot_be_noted_is_not_done(store: KeyStore, ledger: Ledger) -> None:
    made = store.create(KeyChange(name="before"), ADMIN)
    full = {
        "sqlite": "CREATE TRIGGER no_more BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no_more'); END",
        "postgresql": "ALTER TABLE audit ADD CONSTRAINT no_more CHECK (seq < 2)",
    }
    run(ledger, full[ledger.database.dialect])
    for act in (
        lambda: store.create(KeyChange(), ADMIN),
        lambda: store.change(made.key.id, KeyChange(name="after"), ADMIN),
        lambda: store.rotate(made.key.id, ADMIN),
        lambda: store.revoke(made.key.id, ADMIN),
    ):
        with pytest.raises(REFUSED, match="no_more"):
            act()
    assert store.list(ADMIN) == (made.key,)
    assert store.look(made.key.id, 0).kept is not None


def test_the_trail_is_only_appended_to(store: KeyStore, ledger: Ledger) -> None:
    store.create(KeyChange(), ADMIN)
    for sql in ("UPDATE audit SET text = '{}'", "DELETE FROM audit"):
        with pytest.raises(REFUSED, match="only appended to"):
            run(ledger, sql)


TAMPERING = {
    "a word": ("UPDATE audit SET text = replace(text, 'key.change', 'key.create') WHERE seq = 2", 2),
    "a hash": ("UPDATE audit SET hash = (SELECT hash FROM audit b WHERE b.seq = 1) WHERE seq = 3", 3),
    "the first taken out": ("DELETE FROM audit WHERE seq = 1", 1),
    "one taken out": ("DELETE FROM audit WHERE seq = 2", 2),
    "the last taken out": ("DELETE FROM audit WHERE seq = 4", 4),
    "two exchanged": ("UPDATE audit SET text = (SELECT text FROM audit b WHERE b.seq = 5 - audit.seq) WHERE seq IN (2, 3)", 2),
}


@pytest.mark.parametrize("name", sorted(TAMPERING))
def test_tampering_shows(store: KeyStore, ledger: Ledger, name: str) -> None:
    made = store.create(KeyChange(), ADMIN)
    for word in ("a", "b", "c"):
        store.change(made.key.id, KeyChange(name=word), ADMIN)
    sql, first = TAMPERING[name]

    unlocked = {
        "sqlite": ("DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_deleted"),
        "postgresql": ("ALTER TABLE audit DISABLE TRIGGER USER",),
    }
    run(ledger, *unlocked[ledger.database.dialect], sql)
    assert store.trail_break() == first


def test_a_deed_reads_back() -> None:
    deed = Deed(at=1.5, actor="a", action="b", object="c", detail={"d": [1]})
    assert msgspec.convert(msgspec.to_builtins(deed), Deed) == deed
