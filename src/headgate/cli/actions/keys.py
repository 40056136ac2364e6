"""``headgate keys``: virtual keys in the store of the data folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import msgspec

from headgate.assembly.keys import opened_keys
from headgate.assembly.parts import load_parts
from headgate.cli import sanitize
from headgate.cli.actions.output import money, table
from headgate.config import Secret
from headgate.errors import StoreError, UsageError
from headgate.ledger.key_json import iso, key_json
from headgate.ledger.key_store import KeyStore, Made
from headgate.ledger.keys import SCOPES, KeyBudget, KeyChange, KeyLimits, VirtualKey
from headgate.ledger.rights import LOCAL
from headgate.wire.json import Json, JsonObject, decode, encode_text

_LISTS = {"tag": "tags", "model": "models"}
_PLAIN = ("name", "owner", "team", "user", "tags", "models", "disabled", "max_output", "recording")
_LIMITS = KeyLimits.__struct_fields__
_REMOVABLE = ("owner", "team", "user", "tag", "model", "expires", "max-output", "budget", *(name.replace("_", "-") for name in _LIMITS))


@contextmanager
def _store() -> Iterator[KeyStore]:
    with opened_keys(load_parts()) as store:
        yield store


def create(quiet: bool, as_json: bool, imported: bool, **options: Json) -> int:
    """See `headgate keys create --help`."""
    change = _change(options, None)
    brought = Secret(sys.stdin.readline().strip()) if imported else None
    with _store() as store:
        _print_made(store.create(change, LOCAL, brought), quiet, as_json)
    return 0


def ls(everything: bool, as_json: bool) -> int:
    """See `headgate keys ls --help`."""
    now = time.time()
    with _store() as store:
        found = [key for key in _all(store) if everything or key.status(now) in ("active", "disabled")]
    if as_json:
        click.echo(encode_text([key_json(key, now) for key in found]))
    elif not found:
        click.echo("no keys; make one: headgate keys create --name NAME")
    else:
        click.echo(sanitize(table([_line(key, now) for key in found], ("id", "name", "for", "models", "budget", "expires", "status"))))
    return 0


def _all(store: KeyStore) -> Iterator[VirtualKey]:
    page = store.list(LOCAL)
    while page:
        yield from page
        page = store.list(LOCAL, after=page[-1].id)


def _line(key: VirtualKey, now: float) -> tuple[str, ...]:
    whose = next((f"{kind} {name}" for kind, name in (("user", key.user), ("team", key.team), ("owner", key.owner)) if name), "")
    models = ", ".join(key.models) or "any"
    budget = "" if key.budget is None else f"{money(key.budget.limit_nanos)} a {key.budget.window}"
    return (key.id, key.name, whose, models, budget, iso(key.expires) or "never", key.status(now))


def show(id: str, as_json: bool) -> int:
    """See `headgate keys show --help`."""
    with _store() as store:
        _print_key(store.get(id, LOCAL), as_json)
    return 0


def limit(id: str, as_json: bool, without: Sequence[str], disabled: bool | None, **options: Json) -> int:
    """See `headgate keys limit --help`."""
    with _store() as store:
        change = _change({**options, "disabled": disabled}, store.get(id, LOCAL).budget, without)
        if change == KeyChange():
            raise UsageError("nothing to change was named", hint="headgate keys limit --help")
        _print_key(store.change(id, change, LOCAL), as_json)
    return 0


def rotate(id: str, overlap: float | None, quiet: bool, as_json: bool) -> int:
    """See `headgate keys rotate --help`."""
    with _store() as store:
        _print_made(store.rotate(id, LOCAL, overlap or 0.0), quiet, as_json)
    return 0


def revoke(id: str, made: bool, as_json: bool) -> int:
    """See `headgate keys revoke --help`."""
    with _store() as store:
        found = store.revoke(id, LOCAL, made)
    if as_json:
        click.echo(encode_text([key_json(key, time.time()) for key in found]))
    else:
        click.echo(f"revoked {', '.join(key.id for key in found)}")
    return 0


def audit(limit: int, as_json: bool) -> int:
    """See `headgate keys audit --help`."""
    with _store() as store:
        broken, entries = store.trail_break(), store.trail(limit)
    deeds = [(entry.seq, entry.deed) for entry in entries]
    if as_json:
        click.echo(encode_text([{"seq": entry.seq, **decode(entry.text)} for entry in entries]))
    else:
        rows = [(str(seq), iso(deed.at) or "", deed.actor, deed.action, deed.object) for seq, deed in deeds]
        click.echo(sanitize(table(rows, ("seq", "at", "who", "did", "to"), frozenset({0}))))
    if broken is not None:
        raise StoreError(f"the audit trail was altered: entry {broken} is not what was written, or is missing")
    return 0


# Options


def _change(options: dict[str, Json], budget: KeyBudget | None, without: Sequence[str] = ()) -> KeyChange:
    """What the options say; one that was not given changes nothing. `budget` is the one so far."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    fields = {name: given[name] for name in _PLAIN if name in given}
    if "scopes" in given:
        fields["scopes"] = _scopes(given["scopes"])
    if "expires_in" in given:
        fields["expires"] = time.time() + given["expires_in"]
    limits = {name: given[name] for name in _LIMITS if name in given}
    for name in without:
        _take_off(name, fields, limits)
    wanted = _budget(given, budget)
    if wanted:
        fields["budget"] = wanted
    return msgspec.convert({**fields, "limits": limits}, KeyChange)


def _take_off(name: str, fields: dict[str, Json], limits: dict[str, Json]) -> None:
    if name not in _REMOVABLE:
        raise UsageError(f"--no {name} is not possible; it takes {', '.join(_REMOVABLE)}")
    field = _LISTS.get(name, name.replace("-", "_"))
    (limits if field in _LIMITS else fields)[field] = () if name in _LISTS else None


def _scopes(names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in SCOPES]
    if unknown:
        raise UsageError(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    return list(names)


def _budget(given: dict[str, Json], before: KeyBudget | None) -> JsonObject:
    """The budget wanted; empty when none of its options was given."""
    parts = {field: given[name] for name, field in (("budget", "limit_nanos"), ("window", "window"), ("action", "action")) if name in given}
    if parts and "limit_nanos" not in parts and before is None:
        raise UsageError("--window and --action belong to a budget", hint="headgate keys create --budget 5 --window day")
    return {**msgspec.to_builtins(before), **parts} if parts and before is not None else parts


# Printing


def _print_made(made: Made, quiet: bool, as_json: bool) -> None:
    if quiet:
        click.echo(made.secret.reveal())
    elif as_json:
        click.echo(encode_text({**key_json(made.key, time.time()), "key": made.secret.reveal()}))
    else:
        click.echo(made.secret.reveal())
        click.echo(f"  id {made.key.id}; the key is shown this once", err=True)


def _print_key(key: VirtualKey, as_json: bool) -> None:
    document = key_json(key, time.time())
    if as_json:
        click.echo(encode_text(document))
        return
    for name, value in document.items():
        if name != "object" and value not in (None, [], {}, ""):
            click.echo(sanitize(f"{name.replace('_', ' '):<18}{_text(value)}"))


def _text(value: Json) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
