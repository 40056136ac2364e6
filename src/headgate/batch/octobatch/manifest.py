"""``MANIFEST.json`` as values (OCT-111, OCT-112). Missing keys mean their default; what nobody needs is not looked at."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from headgate.domain.cost import NANO
from headgate.errors import ConfigError, WireError
from headgate.wire.json import Json, decode

MANIFEST = "MANIFEST.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
"""What a chunk or a step may be called: it becomes part of a path."""
MOST_NANOS = 10**15
VALIDATED = "VALIDATED"
FAILED = "FAILED"
PENDING = "PENDING"
SUBMITTED = "SUBMITTED"


class Chunk(msgspec.Struct, frozen=True):
    """A chunk's entry. `state` is ``<step>_PENDING``, ``<step>_SUBMITTED``, ``VALIDATED`` or ``FAILED`` (OCT-113)."""

    state: str = ""
    batch_id: str | None = None
    items: int | None = None
    valid: int | None = None
    failed: int | None = None
    retry_step: str | None = None

    @property
    def step(self) -> str | None:
        """The step the chunk stands at; None when it is through, or over."""
        step, _, word = self.state.rpartition("_")
        return step if step and word not in (VALIDATED, FAILED) else None

    @property
    def submitted(self) -> bool:
        """A batch of it was at the provider."""
        return self.state.endswith(f"_{SUBMITTED}")


class Metadata(msgspec.Struct, frozen=True):
    """The manifest's `metadata`, as far as it is of use."""

    pipeline_name: str | None = None
    display_name: str | None = None
    provider: str | None = None
    model: str | None = None
    mode: str | None = None
    max_units: int | None = None
    start_time: str | None = None
    end_time: str | None = None
    cli_provider_override: bool | None = False
    cli_model_override: bool | None = False
    initial_input_tokens: int | None = 0
    initial_output_tokens: int | None = 0
    retry_input_tokens: int | None = 0
    retry_output_tokens: int | None = 0
    cost_estimate: Json = None


class Manifest(msgspec.Struct, frozen=True):
    """The whole manifest. `pipeline` names the steps that units go through."""

    pipeline: tuple[str, ...]
    chunks: dict[str, Chunk]
    status: str = "pending"
    metadata: Metadata = Metadata()
    completed_run_steps: tuple[str, ...] = ()
    created: str | None = None
    updated: str | None = None
    completed_at: str | None = None
    error_message: str | None = None
    config: str = "config/config.yaml"

    @property
    def began(self) -> float | None:
        """When the run began, in epoch seconds."""
        return seconds_of(self.metadata.start_time) or seconds_of(self.created)

    @property
    def ended(self) -> float | None:
        """When something was last done."""
        return seconds_of(self.completed_at) or seconds_of(self.metadata.end_time) or seconds_of(self.updated)

    @property
    def estimate_nanos(self) -> int | None:
        """The cost the manifest itself names, in nano-dollars: an estimate of Octobatch's. None when it names none."""
        told = self.metadata.cost_estimate
        if isinstance(told, bool) or not isinstance(told, int | float):
            return None
        nanos = Decimal(str(told)) * NANO
        return int(nanos) if nanos.is_finite() and 0 <= nanos <= MOST_NANOS else None

    @property
    def tokens(self) -> tuple[int, int, int, int]:
        """Tokens as the manifest counts them: first tries in and out, retries in and out."""
        said = self.metadata
        return (
            said.initial_input_tokens or 0,
            said.initial_output_tokens or 0,
            said.retry_input_tokens or 0,
            said.retry_output_tokens or 0,
        )


def read_manifest(data: bytes) -> Manifest:
    """A manifest from its text. Raises `ConfigError` for what is none, and for names that would lead out of the folder."""
    try:
        found = msgspec.convert(decode(data, what=MANIFEST), Manifest)
    except (WireError, msgspec.ValidationError) as error:
        raise ConfigError(f"{MANIFEST} cannot be read: {error}", hint="give the folder of a run of Octobatch") from error
    if not found.pipeline:
        raise ConfigError(f"{MANIFEST} names no steps: nothing was run")
    for what, names in (("step", found.pipeline), ("chunk", found.chunks)):
        for name in names:
            if not PLAIN_NAME.fullmatch(name):
                raise ConfigError(f"{MANIFEST} has a {what} called {name[:200]!r}, which cannot be a part of a file's name")
    if len(set(found.pipeline)) != len(found.pipeline):
        raise ConfigError(f"{MANIFEST} names a step twice")
    return found


def seconds_of(moment: str | None) -> float | None:
    """Epoch seconds of an ISO time; None for anything else. Without a zone it is UTC."""
    if not moment:
        return None
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
