"""The last look before a run begins: what would keep every unit from coming through is told before anything is written or paid.

`local_checks` looks at what is here; `remote_checks` asks each provider for its list of models, which costs nothing and shows whether it
can be reached and takes the key. Keys, models and modes were looked at when the run was planned.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from headgate.assembly.forecasting import Outlook
from headgate.assembly.models_update import ask_list
from headgate.assembly.parts import Parts
from headgate.batch.sampling import Sampled
from headgate.batch.worker import Plan
from headgate.catalog.cards import ModelCard, day_of
from headgate.catalog.listing import listing_of
from headgate.client import Target
from headgate.domain.estimate import BYTES_PER_TOKEN
from headgate.errors import ConfigError, ErrorKind, ProviderError, WireError
from headgate.transport.http1 import HttpClient

REMOTE_SECONDS = 10.0
"""A provider that is silent for so long is not there."""
ROW_BYTES = 1_200
"""What the database, the receipt and the line of an output take for one call, beside request and answer."""
UNIT_BYTES = 500
TIGHT = 2
"""A disk with less than so many times the estimate is worth a word."""
_NO_LIST = frozenset({ErrorKind.NOT_FOUND, ErrorKind.UNSUPPORTED, ErrorKind.BAD_REQUEST, ErrorKind.UNKNOWN})
_NOT_THERE = frozenset({ErrorKind.CONNECTION, ErrorKind.TIMEOUT})
_REFUSED = frozenset({ErrorKind.AUTH, ErrorKind.QUOTA})
"""A key may be good for calls and have no permission to list models."""


def local_checks(plan: Plan, folder: Path, outlook: Outlook) -> tuple[str, ...]:
    """Notes on what is odd. Raises `ConfigError` when no unit could get through, and when the disk is surely too small."""
    return (*_rendered(plan, outlook.sampled), *_priced(plan), *_room(folder, disk_bytes(outlook)))


def _rendered(plan: Plan, sampled: Sampled) -> Iterable[str]:
    """Whether the units that were tried come through up to the first prompt."""
    failed = {fault.unit for fault in sampled.faults}
    if not failed:
        return
    first = sampled.faults[0]
    told = f"step {first.step!r}, unit {first.unit!r}: {first.message}"
    if len(failed) >= sampled.units:
        raise ConfigError(f"none of the {sampled.units} units tried gets through: {told}", hint=f"headgate validate {plan.pipeline.name}")
    yield f"{len(failed)} of {sampled.units} units tried would fail: {told}"


def _priced(plan: Plan) -> Iterable[str]:
    unknown = dict.fromkeys(target.name for target in plan.targets.values() if target.card is None or not target.card.prices)
    if not unknown:
        return
    told = f"the price of {', '.join(unknown)} is unknown"
    if plan.cost_cap_nanos is not None:
        raise ConfigError(f"{told}: a cost limit cannot be kept", hint="run without --max-cost and api.realtime.cost_cap_usd")
    yield f"{told}: what it costs is not counted"


def disk_bytes(outlook: Outlook) -> float:
    """About how many bytes a run will write: rows, answers, outputs, and in batches the requests and what is downloaded."""
    found = outlook.forecast
    calls, units = found.calls.likely, max((step.units.likely for step in found.steps), default=found.units)
    answers = found.output_tokens.likely * BYTES_PER_TOKEN
    requests = found.input_tokens.likely * BYTES_PER_TOKEN if found.mode == "batch" else 0.0
    return units * (2 * found.record_bytes + UNIT_BYTES) + calls * ROW_BYTES + 2 * answers + requests


def _room(folder: Path, needed: float) -> Iterable[str]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed / TIGHT:
        message = f"the run will write about {_size(needed)}, and {there} has {_size(free)} free"
        raise ConfigError(message, hint="free some space, choose another folder with --run-dir, or run fewer units with --max-units")
    if free < needed * TIGHT:
        yield f"the run will write about {_size(needed)}, and {there} has only {_size(free)} free"


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


async def remote_checks(parts: Parts, plan: Plan, now: float) -> tuple[str, ...]:
    """Ask each provider and account of a run for its list of models; notes on what is odd.

    Raises `ProviderError` when it refuses the key or cannot be reached. A provider without such a list is not asked.
    """
    asked: dict[tuple[str, str], list[Target]] = {}
    for target in plan.targets.values():
        asked.setdefault((target.provider.name, target.credential.account), []).append(target)
    bounds = msgspec.structs.replace(
        parts.transport, total_timeout=REMOTE_SECONDS, connect_timeout=min(REMOTE_SECONDS, parts.transport.connect_timeout)
    )
    async with HttpClient(bounds) as http:
        found = await asyncio.gather(*(_asked(http, targets, parts.settings.data_dir, now) for targets in asked.values()))
    return tuple(note for notes in found for note in notes)


async def _asked(http: HttpClient, targets: list[Target], folder: Path, now: float) -> tuple[str, ...]:
    target = targets[0]
    listing = listing_of(target.provider.name, target.chat.name)
    if listing is None:
        return ()
    first_page = msgspec.structs.replace(listing, more=lambda page: None)
    try:
        cards = await ask_list(http, await target.ready(), first_page, day_of(now), now, folder)
    except WireError:
        return ()
    except ProviderError as error:
        return _considered(target, error)
    return _unlisted(targets, cards)


def _considered(target: Target, error: ProviderError) -> tuple[str, ...]:
    """What a failure to list models means for the run."""
    if error.kind in _NO_LIST:
        return ()
    if error.kind in _REFUSED:
        raise error
    if error.kind in _NOT_THERE:
        error.message = f"{target.provider.label} cannot be reached: {error.message}"
        error.hint = error.hint or "headgate doctor; --no-preflight begins without asking"
        raise error
    return (f"{target.provider.label} did not list its models ({error.message}); the key was not tried",)


def _unlisted(targets: list[Target], cards: tuple[ModelCard, ...]) -> tuple[str, ...]:
    """Models that neither the catalog nor the provider's list knows."""
    names = {card.id for card in cards}
    unknown = dict.fromkeys(target.name for target in targets if names and target.card is None and target.model not in names)
    return tuple(f"{name} is not among the models that its provider lists" for name in unknown)
