"""How a simulator is set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from headgate.sim.faults import Rule

DEFAULT_PORT = 6199


class Timings(msgspec.Struct, frozen=True):
    """How long a batch takes, in simulated seconds: `validate` or queue, `run` in all plus `per_row` each, `finalize`, `cancel`.

    `window` is OpenAI's and Anthropic's completion window, `gemini_window` Gemini's, `retention` the life of Anthropic's results.
    """

    validate: float = 5.0
    run: float = 60.0
    per_row: float = 0.05
    finalize: float = 3.0
    cancel: float = 5.0
    window: float = 24 * 3600.0
    gemini_window: float = 48 * 3600.0
    retention: float = 29 * 24 * 3600.0


class Limits(msgspec.Struct, frozen=True):
    """Limits of the providers' batch and file APIs, in rows and bytes. `enqueued_tokens` None is no limit."""

    openai_rows: int = 50_000
    openai_bytes: int = 200_000_000
    openai_file_bytes: int = 512_000_000
    anthropic_rows: int = 100_000
    anthropic_bytes: int = 256_000_000
    gemini_inline_bytes: int = 20_000_000
    gemini_file_bytes: int = 2_000_000_000
    gemini_active: int = 100
    xai_call_bytes: int = 25_000_000
    bedrock_min_rows: int = 100
    bedrock_rows: int = 50_000
    enqueued_tokens: int | None = None


class SimSettings(msgspec.Struct, frozen=True):
    """Everything that shapes a simulator.

    `latency` is real seconds before each realtime answer, `event_gap` real seconds between a stream's events, `time_scale` simulated
    seconds per real second. With a `state_dir`, accepted files, batches and the bill survive a restart. `mistakes` is the share of wrong
    answers of the simulated model's players by name, ``*`` for all others; without an entry each has a share of its own. `on_request(seq,
    operation)` is called before a request is executed and `on_executed` after it was executed but before it is answered.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    seed: int = 0
    latency: float = 0.0
    event_gap: float = 0.0
    time_scale: float = 1.0
    state_dir: str | None = None
    faults: tuple[Rule, ...] = ()
    mistakes: Mapping[str, float] = msgspec.field(default_factory=dict)
    timings: Timings = Timings()
    limits: Limits = Limits()
    on_request: Callable[[int, str], None] | None = None
    on_executed: Callable[[int, str], None] | None = None
