"""Octobatch's types: five words for a batch, and dictionaries for what comes of calls (OCT-21)."""

from __future__ import annotations

from enum import Enum
from typing import TypedDict

from headgate.wire.json import JsonObject


class BatchStatus(Enum):
    """The state of a batch."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class _Status(TypedDict):
    status: BatchStatus
    progress: str | None
    error: str | None


class BatchStatusInfo(_Status, total=False):
    """A look at a batch. `progress` is "45/100" where the provider counts; times are ISO 8601 in UTC."""

    provider_status: str
    created_at: str | None
    updated_at: str | None


class BatchResult(TypedDict):
    """What became of one unit: `content` or `error`, the other is None."""

    unit_id: str
    content: str | None
    input_tokens: int
    output_tokens: int
    error: str | None


class BatchMetadata(TypedDict, total=False):
    """A batch as a whole."""

    total_input_tokens: int
    total_output_tokens: int
    started_at: str | None
    completed_at: str | None
    provider: str
    model: str


class RealtimeResult(TypedDict):
    """One answer."""

    content: str
    input_tokens: int
    output_tokens: int
    finish_reason: str


class ModelInfo(TypedDict):
    """A model of the registry. Prices are dollars per million tokens in a batch; None where they are unknown."""

    display_name: str
    input_per_million: float | None
    output_per_million: float | None
    batch_support: bool


class ProviderInfo(TypedDict):
    """A provider of the registry. Realtime costs `realtime_multiplier` times a model's batch prices."""

    env_var: str
    sdk: str
    default_model: str | None
    realtime_multiplier: float
    models: dict[str, ModelInfo]


class Pricing(TypedDict):
    """Prices of one model; None where they are unknown."""

    input_per_million: float | None
    output_per_million: float | None
    realtime_multiplier: float


class ModelRegistry(TypedDict):
    """The registry as `models.yaml` has it."""

    default_provider: str | None
    providers: dict[str, ProviderInfo]
    defaults: Pricing


Config = JsonObject
