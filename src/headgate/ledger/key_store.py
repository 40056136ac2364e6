"""Virtual keys in the ledger's database. Each change and its entry in the audit trail are one transaction, or neither is (faults J7).

Everything here blocks: whoever serves requests calls it from a thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from headgate.config import Secret
from headgate.errors import ConfigError, UsageError
from headgate.ledger.audit import AuditTrail, Deed, Entry
from headgate.ledger.budget_book import end_budget, put_budget
from headgate.ledger.budgets import Budget
from headgate.ledger.key_form import ID_BYTES, SECRET_BYTES, Pepper, Seals, importable, new_id, new_key
from headgate.ledger.key_json import key_json
from headgate.ledger.key_rows import Kept, all_kept, key_row
from headgate.ledger.keys import KeyChange, VirtualKey, blank, changed
from headgate.ledger.principal import Principal
from headgate.ledger.rights import NotAllowed, check_grant, lineage_of, manages, permits
from headgate.store.base import Store
from headgate.store.connection import Connection, Value, clock
from headgate.store.statements import Statements
from headgate.wire.json import Json

T = TypeVar("T")
PAGE = 100


class NoSuchKey(UsageError):
    """There is no such key, as far as the asker is concerned."""


class Made(msgspec.Struct, frozen=True):
    """A key and its secret, which is given out this once."""

    key: VirtualKey
    secret: Secret


class News(msgspec.Struct, frozen=True):
    """The keys `changed` since a version; the newest `version` there is; the time `now` by the database's clock."""

    version: int
    now: float
    changed: tuple[VirtualKey, ...] = ()


class Look(msgspec.Struct, frozen=True):
    """A key as it is kept, None when there is none of the id, and the news up to then."""

    kept: Kept | None
    news: News


class KeyStore:
    """Virtual keys over a `Store` opened with ``migrations="ledger"``. The caller closes it.

    `time` reads that of the database, by which keys expire on whatever machine (faults H12). Raises `ConfigError` when keys were
    made under another pepper: none of them would open anything.
    """

    def __init__(
        self,
        database: Store,
        pepper: Pepper,
        *,
        time: Callable[[Connection], float] = clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.pepper = pepper
        self._database = database
        self._time = time
        self._random = random
        self._sql = Statements.load("keys")
        self._audit = AuditTrail(pepper.audit)
        self._check_pepper()

    # For whoever looks after keys

    def create(self, change: KeyChange, by: Principal, imported: Secret | None = None) -> Made:
        """Make a key. `imported` is the text of a key of another system, kept as it is.

        Raises `NotAllowed` for more than `by` has, `UsageError` for values that cannot be, and when the imported key is there already.
        """
        key = changed(blank(by, permits(by, "admin")), change)
        check_grant(key, by)
        id, secret = self._fresh() if imported is None else self._brought(imported)

        def make(connection: Connection) -> VirtualKey:
            now = self._time(connection)
            lineage = lineage_of(by)
            named = msgspec.structs.replace(key, id=id, created=now, created_by=actor_of(by), lineage=lineage)
            found = self._noted(connection, "key.create", named, by, now)
            row = key_row(Kept(found, self._seals(secret)))
            if connection.execute(self._sql["insert_key"], row).rowcount != 1:
                raise UsageError("there is such a key already", hint=f"headgate keys show {id}")
            return found

        return Made(self._database.write_now(make), secret)

    def get(self, id: str, viewer: Principal) -> VirtualKey:
        """The key `id`. Raises `NoSuchKey` when there is none that the viewer may see (faults H8)."""
        return self._database.read(lambda connection: self._seen(connection, id, viewer)).key

    def list(self, viewer: Principal, after: str = "", limit: int = PAGE) -> tuple[VirtualKey, ...]:
        """Keys that the viewer may see, by id, at most `limit` of them behind the id `after`."""
        values = {**_view(viewer), "after": after, "limit": limit}
        return tuple(kept.key for kept in self._database.read(lambda connection: self._rows(connection, "visible_keys", values)))

    def change(self, id: str, change: KeyChange, by: Principal) -> VirtualKey:
        """Change a key. Raises `NoSuchKey`, `NotAllowed` or `UsageError`."""

        def write(connection: Connection) -> VirtualKey:
            old = self._managed(connection, id, by)
            wanted = changed(old.key, change)
            if not permits(by, "admin"):
                check_grant(wanted, by)
            return self._put(connection, Kept(wanted, old.seals), "key.change", by, self._time(connection))

        return self._database.write_now(write)

    def rotate(self, id: str, by: Principal, overlap: float = 0.0) -> Made:
        """Give a key another secret; the one before is taken for `overlap` seconds more. A bearer may do so with its own key too.

        Raises `NoSuchKey` or `NotAllowed`, also for a key that can do more than `by` by now.
        """
        secret = new_key(id, self._random(SECRET_BYTES))

        def write(connection: Connection) -> VirtualKey:
            kept = self._seen(connection, id, by)
            if kept.key.id != by.key_id or not permits(by, "keys:write"):
                kept = self._managed(connection, id, by)
                check_grant(kept.key, by)
            _check_alive(kept.key)
            now = self._time(connection)
            old_until = now + overlap if overlap > 0 else None
            seals = self._seals(secret, kept.seals.now if overlap > 0 else None, old_until)
            return self._put(connection, Kept(msgspec.structs.replace(kept.key, old_until=old_until), seals), "key.rotate", by, now)

        return Made(self._database.write_now(write), secret)

    def revoke(self, id: str, by: Principal, made: bool = False) -> tuple[VirtualKey, ...]:
        """End a key for good, with `made` also every key that it or its keys made. Raises `NoSuchKey` or `NotAllowed`."""

        def write(connection: Connection) -> tuple[VirtualKey, ...]:
            first = self._managed(connection, id, by)
            others = self._rows(connection, "keys_made_by", {"made": _made_by(id)}) if made else ()
            now = self._time(connection)
            return tuple(self._revoked(connection, kept, by, now) for kept in (first, *others))

        return self._database.write_now(write)

    def trail(self, limit: int = PAGE) -> tuple[Entry, ...]:
        """The newest entries of the audit trail, newest first."""
        return self._database.read(lambda connection: self._audit.latest(connection, limit))

    def trail_break(self) -> int | None:
        """The number of the first entry of the audit trail that was altered or is missing; None when all is well."""

        def check(connection: Connection) -> int | None:
            entries = self._audit.latest(connection, 1)
            last, newest = (entries[0].seq if entries else 0), self._version(connection)
            broken = self._audit.broken(connection)
            return last + 1 if broken is None and newest > last else broken

        return self._database.read(check)

    def noting(self, action: str, object: str, detail: Json, by: Principal) -> Callable[[Connection], object]:
        """A write function that puts what `by` did to something else than a key into the audit trail."""
        return lambda connection: self._audit.append(
            connection, Deed(at=self._time(connection), actor=actor_of(by), action=action, object=object, detail=detail)
        )

    # For whoever lets keys in

    def look(self, id: str, since: int) -> Look:
        """The key of a public id, and what changed since a version. Raises `StoreError`."""

        def read(connection: Connection) -> Look:
            news = self._news(connection, since)  # first: the key is to be no older than the news
            found = self._rows(connection, "key_by_id", {"id": id})
            return Look(found[0] if found else None, news)

        return self._database.read(read)

    def news(self, since: int) -> News:
        """What changed since a version (0: everything). Raises `StoreError`."""
        return self._database.read(lambda connection: self._news(connection, since))

    def _news(self, connection: Connection, since: int) -> News:
        version = self._version(connection)
        found = self._rows(connection, "changed_keys", {"since": since}) if version > since else ()
        return News(version, self._time(connection), tuple(kept.key for kept in found))

    def _version(self, connection: Connection) -> int:
        row = connection.execute(self._sql["last_version"]).fetchone()
        return row[0] if row is not None and isinstance(row[0], int) else 0

    # Inside transactions

    def _seen(self, connection: Connection, id: str, viewer: Principal) -> Kept:
        found = self._rows(connection, "visible_key", {**_view(viewer), "id": id})
        if not found:
            raise NoSuchKey(f"there is no key {id[:40]!r}", hint="headgate keys ls")
        return found[0]

    def _managed(self, connection: Connection, id: str, by: Principal) -> Kept:
        kept = self._seen(connection, id, by)
        if not manages(by, kept.key):
            raise NotAllowed("only an administrator, or the key that made it, may change this key")
        _check_alive(kept.key)
        return kept

    def _revoked(self, connection: Connection, kept: Kept, by: Principal, now: float) -> VirtualKey:
        return self._put(connection, Kept(msgspec.structs.replace(kept.key, revoked=now), kept.seals), "key.revoke", by, now)

    def _put(self, connection: Connection, kept: Kept, action: str, by: Principal, now: float) -> VirtualKey:
        found = self._noted(connection, action, kept.key, by, now)
        connection.execute(self._sql["update_key"], key_row(Kept(found, kept.seals)))
        return found

    def _noted(self, connection: Connection, action: str, key: VirtualKey, by: Principal, now: float) -> VirtualKey:
        """`key` with the number of the audit entry that tells what it has become."""
        deed = Deed(at=now, actor=actor_of(by), action=action, object=key.id, detail=key_json(key, now))
        _put_budget(connection, key)
        return msgspec.structs.replace(key, version=self._audit.append(connection, deed))

    def _rows(self, connection: Connection, statement: str, values: dict[str, Value]) -> Sequence[Kept]:
        return all_kept(connection.execute(self._sql[statement], values))

    # Secrets

    def _fresh(self) -> tuple[str, Secret]:
        id = new_id(self._random(ID_BYTES))
        return id, new_key(id, self._random(SECRET_BYTES))

    def _brought(self, imported: Secret) -> tuple[str, Secret]:
        raw = imported.reveal().encode()
        id = self.pepper.public_id(raw) if importable(raw) else None
        if id is None:
            raise UsageError("a key that is brought along must be gs_live_ or gs_test_ and 32 characters out of letters, digits, _ and -")
        return id, imported

    def _seals(self, secret: Secret, old: bytes | None = None, old_until: float | None = None) -> Seals:
        return Seals(self.pepper.seal(secret.reveal().encode()), old, old_until)

    def _check_pepper(self) -> None:
        mark = self._database.read(self._mark) or self._database.write_now(self._keep_mark)
        if mark != self.pepper.mark:
            raise ConfigError(
                "the keys of this database were made under another pepper than the one in force, and would all be refused",
                hint="set HEADGATE_PEPPER to the pepper they were made under (the file pepper of the first data folder)",
            )

    def _mark(self, connection: Connection) -> bytes | None:
        row = connection.execute(self._sql["pepper_mark"]).fetchone()
        return None if row is None else _bytes(row[0])

    def _keep_mark(self, connection: Connection) -> bytes | None:
        connection.execute(self._sql["keep_pepper_mark"], {"mark": self.pepper.mark})
        return self._mark(connection)


def budget_of(key: VirtualKey) -> Budget | None:
    """The budget of a key as the ledger keeps it."""
    if key.budget is None:
        return None
    own = f"key:{key.id}"
    return Budget(id=own, scope=own, limit_nanos=key.budget.limit_nanos, window=key.budget.window, action=key.budget.action)


def _put_budget(connection: Connection, key: VirtualKey) -> None:
    """Make the ledger's budget of a key what the key says, in the same transaction."""
    budget = budget_of(key)
    if budget is not None:
        put_budget(connection, budget, "api")
    else:
        end_budget(connection, f"key:{key.id}")


def actor_of(principal: Principal) -> str:
    """How the audit trail names a bearer."""
    return f"key:{principal.key_id}" if principal.key_id else principal.name


def _view(viewer: Principal) -> dict[str, Value]:
    return {"everybody": int(permits(viewer, "admin")), "tenant": viewer.tenant, "made": _made_by(viewer.key_id)}


def _made_by(id: str) -> str:
    """What the JSON of a lineage looks like that has `id` in it; nothing has the empty id."""
    return f'%"{id}"%'


def _check_alive(key: VirtualKey) -> None:
    if key.revoked is not None:
        raise UsageError(f"the key {key.id} is revoked for good", hint="headgate keys create")


def _bytes(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value
