"""What a pipeline is: frozen values for everything a folder of configuration says (OCT-50 to OCT-53)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice

import msgspec

from headgate.batch.expressions import DEFAULT_MAX_ITERATIONS
from headgate.batch.item_file import InputFile
from headgate.batch.lanes import OnStuck
from headgate.batch.plan import Items, Unit, chosen_units, count_units, generate_units
from headgate.wire.json import Json, JsonObject

FORMAT = 1
"""Version of the snapshot layout."""


class StepKind(StrEnum):
    """What a step does; the values are the words of `scope` in a configuration."""

    LLM = "chunk"
    EXPRESSION = "expression"
    FAN_OUT = "fan_out"
    FAN_IN = "fan_in"
    AGGREGATE = "aggregate"
    DEDUPE = "dedupe"
    SAMPLE = "sample"
    RUN = "run"


BARRIERS = frozenset({StepKind.FAN_IN, StepKind.AGGREGATE, StepKind.DEDUPE, StepKind.SAMPLE})
"""Steps that look at all of their units together, so that every unit has to arrive before any goes on."""
RESHAPING = BARRIERS | {StepKind.FAN_OUT, StepKind.RUN}
"""Steps after which units are no longer the ones they were: nothing can be sent back across them."""


class Strategy(StrEnum):
    """How items become units (OCT-60)."""

    PERMUTATION = "permutation"
    CROSS_PRODUCT = "cross_product"
    DIRECT = "direct"


class Level(StrEnum):
    """What a broken rule means."""

    ERROR = "error"
    WARNING = "warning"


class SeedMode(StrEnum):
    """How random streams are seeded: our own derivation, or Octobatch's for replaying its runs."""

    HEADGATE = "headgate"
    OCTOBATCH = "octobatch"


class TimeoutPolicy(StrEnum):
    """What reaching `max_iterations` means (CON-12)."""

    CONTINUE = "continue"
    FAIL = "fail"


class Coercion(StrEnum):
    """One kind of repair of an answer's values before the schema is applied (OCT-91)."""

    NUMBERS = "numbers"
    """Text that is a number, where the schema wants a number or an integer; a whole float where it wants an integer."""
    BOOLEANS = "booleans"
    """``"true"`` and ``"false"``."""
    ARRAYS = "arrays"
    """Text that is a JSON array, else a list of one, where the schema wants an array."""
    ENUMS = "enums"
    """An allowed value in other case, with blanks around it, or followed by `` | `` and more."""
    UNWRAP = "unwrap"
    """An answer wrapped as ``{"response": …}`` when required keys are missing."""
    OCTOBATCH_SHADOW = "octobatch_shadow"
    """Drop a leading "shadow " from an allowed value."""
    OCTOBATCH_TAGS = "octobatch_tags"
    """Wrap text as ``[{"tag": text}]`` where the schema's items have a `tag`."""


DEFAULT_COERCIONS = frozenset({Coercion.NUMBERS, Coercion.BOOLEANS, Coercion.ARRAYS, Coercion.ENUMS, Coercion.UNWRAP})
"""The general ones; the two named after Octobatch are for its own demos and must be asked for."""


class StepTool(msgspec.Struct, frozen=True):
    """A tool a step's model may call. `parameters` is a JSON Schema; None, for the tool that answers, is the step's own."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None


class StepParams(msgspec.Struct, frozen=True):
    """Request parameters of an LLM step (OCT-82, IMP-14). `native_schema`: hand the step's schema to providers that accept one.

    `system` is a template as the prompt is. `images` are expressions whose values say which images go with the prompt. `tool_choice` is
    auto, none, required or the name of a tool; `answer_tool` names the tool whose arguments are the answer.
    `thinking_budget` counts tokens (0: none, -1: the model decides).
    """

    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    native_schema: bool = True
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    thinking_budget: int | None = None
    images: tuple[str, ...] = ()
    tools: tuple[StepTool, ...] = ()
    tool_choice: str | None = None
    answer_tool: str | None = None


class FanOut(msgspec.Struct, frozen=True):
    """One unit for each element of the list in `field`, which it has as `child_field` (OCT-140).

    The list itself is left behind unless `keep_field`: every child would carry all of it (OCT-141).
    """

    field: str
    child_field: str
    keep_field: bool = False


class Gather(msgspec.Struct, frozen=True):
    """Many units to one: the siblings of the fan_out step `of`, or all that agree in the fields `group_by`.

    The one has the records of the others as a list in `field`: all their fields, or those named in `collect`.
    """

    field: str
    of: str | None = None
    group_by: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """How many units go on, chosen by the run's seed: a number of them, or a share (0 to 1)."""

    count: int | None = None
    share: float | None = None


class Script(msgspec.Struct, frozen=True):
    """Something done once, after all units: the built-in `extract_units`, or a program of the pipeline's (OCT-142).

    `output_dir` is a folder below the run's outputs; the expressions give each unit's file name and content (None: its whole record).
    """

    script: str
    output_dir: str
    filename: str | None = None
    content: str | None = None
    gzip: bool = False


class Step(msgspec.Struct, frozen=True):
    """One step. Fields of other kinds are at their defaults.

    `when`: units for which it is false pass the step as they are. `needs` names steps that must come earlier. `places` says where each of
    its expressions stands: ``when``, ``loop_until``, ``init.NAME``, ``expressions.NAME``.
    """

    name: str
    kind: StepKind = StepKind.LLM
    description: str = ""
    where: str = ""
    template: str | None = None
    provider: str | None = None
    model: str | None = None
    params: StepParams = StepParams()
    max_attempts: int | None = None
    retry_from: str | None = None
    init: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str], ...] = ()
    loop_until: str | None = None
    max_iterations: int = DEFAULT_MAX_ITERATIONS
    on_timeout: TimeoutPolicy = TimeoutPolicy.CONTINUE
    when: str | None = None
    needs: tuple[str, ...] = ()
    fan_out: FanOut | None = None
    gather: Gather | None = None
    by: tuple[str, ...] = ()
    sample: Sample | None = None
    script: Script | None = None
    places: dict[str, str] = {}

    def place(self, *key: str) -> str | None:
        """Where an expression stands, else the step; None when that is not known."""
        return self.places.get(".".join(key)) or self.where or None


def system_key(step: Step) -> str:
    """Where a pipeline has the template of a step's system prompt, if that is one: a name no file has."""
    return f"@system/{step.name}"


class Retry(msgspec.Struct, frozen=True):
    """Retries of a single call: attempts, seconds before the second, and the growth factor after it."""

    max_attempts: int = 3
    initial_delay: float = 30.0
    multiplier: float = 2.0


class ApiSettings(msgspec.Struct, frozen=True):
    """The `api` section. Money in nano-dollars, times in seconds."""

    provider: str | None = None
    model: str | None = None
    retry: Retry = Retry()
    poll_interval: float = 5.0
    max_inflight_batches: int = 10
    max_tokens: int | None = None
    cost_cap_nanos: int | None = None
    auto_retry: bool = True
    concurrency: int | None = None
    script_seconds: float = 600.0
    batch_max_age: float | None = None
    on_stuck: OnStuck = OnStuck.CANCEL_RESUBMIT
    cache: bool = False


class Position(msgspec.Struct, frozen=True):
    """One slot of a permutation or cross product."""

    name: str
    source_key: str
    name_field: str | None = None


class Processing(msgspec.Struct, frozen=True):
    """The `processing` section."""

    strategy: Strategy = Strategy.PERMUTATION
    chunk_size: int = 100
    repeat: int = 1
    expressions: tuple[tuple[str, str], ...] = ()
    positions: tuple[Position, ...] = ()
    max_attempts: int = 3
    seed: int = 0
    seed_mode: SeedMode = SeedMode.HEADGATE
    places: dict[str, str] = {}
    """Where each of `expressions` stands."""


class Rule(msgspec.Struct, frozen=True):
    """One rule of a step: `expr` must hold when `when` does; `error` may name fields as ``{field}``."""

    name: str
    expr: str
    error: str = ""
    level: Level = Level.ERROR
    when: str | None = None
    where: str = ""


class Rules(msgspec.Struct, frozen=True):
    """The `validation` entry of a step (OCT-92). `ranges` are inclusive; a side may be open (None)."""

    required: tuple[str, ...] = ()
    types: dict[str, str] = msgspec.field(default_factory=dict)
    ranges: dict[str, tuple[float | None, float | None]] = msgspec.field(default_factory=dict)
    enums: dict[str, tuple[Json, ...]] = msgspec.field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


class PostProcess(msgspec.Struct, frozen=True):
    """Something done with the results at the end; a failure of it is told and does not fail the run (OCT-143).

    `script` is the built-in `analyze_results`, or a program of the pipeline's, with `args`; what it prints goes to `output` below the
    run's outputs. Without a script, the files below the outputs that `files` match are compressed, and kept only if `keep_originals`.
    """

    name: str
    script: str | None = None
    args: tuple[str, ...] = ()
    output: str | None = None
    files: tuple[str, ...] = ()
    keep_originals: bool = False
    where: str = ""


class Pipeline(msgspec.Struct, frozen=True):
    """A checked pipeline. `files` are the bytes it was read from, by path inside its folder: enough to load it again.

    `templates` maps file names inside the template folder to source text (included files too), `template_of` a step to its file; `schemas`
    and `rules` are by step. `items` are what the units are made of; `input` is their file where it is too large to be among `files`, and
    `replaced` the name in either of one that took the place of the pipeline's own. `only` are the ids of the units to be run (none: all).
    `root` is the folder as an absolute path, below which files named by units lie.
    """

    name: str
    folder: str
    steps: tuple[Step, ...]
    api: ApiSettings
    processing: Processing
    global_context: JsonObject
    templates: dict[str, str]
    template_of: dict[str, str]
    schemas: dict[str, JsonObject]
    rules: dict[str, Rules]
    coercions: frozenset[Coercion]
    items: Items
    post_process: tuple[PostProcess, ...]
    warnings: tuple[str, ...]
    files: dict[str, bytes]
    description: str = ""
    input: InputFile | None = None
    replaced: str | None = None
    only: tuple[str, ...] = ()
    root: str = ""

    def step(self, name: str) -> Step:
        """The step called `name`. Raises `KeyError`."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def max_attempts(self, step: Step) -> int:
        """How many answers a unit of `step` may need: the step's own number, else the pipeline's (OCT-102)."""
        return step.max_attempts if step.max_attempts is not None else self.processing.max_attempts

    def units(self, max_units: int | None = None, start: int = 0) -> Iterator[Unit]:
        """The pipeline's units from number `start` on, lazily."""
        if not self.only:
            return generate_units(self.items, self.processing.repeat, max_units=max_units, start=start)
        chosen = chosen_units(generate_units(self.items, self.processing.repeat), frozenset(self.only))
        return islice(chosen, start, self.unit_count(max_units))

    def unit_count(self, max_units: int | None = None) -> int:
        """How many units `units` gives."""
        if self.only:
            return count_units(len(self.only), 1, max_units)
        return count_units(len(self.items), self.processing.repeat, max_units)

    @property
    def llm_steps(self) -> tuple[Step, ...]:
        """The steps that call a model."""
        return tuple(step for step in self.steps if step.kind is StepKind.LLM)

    @property
    def unit_steps(self) -> tuple[Step, ...]:
        """The steps that units go through; `run` steps come after all units."""
        return tuple(step for step in self.steps if step.kind is not StepKind.RUN)

    @property
    def digest(self) -> str:
        """sha256 (hex) over configuration, items, templates and schemas; the same files give the same digest wherever they lie."""
        return _digest(self.files, self.input)


def _digest(files: Mapping[str, bytes], input: InputFile | None) -> str:
    total = hashlib.sha256(f"headgate pipeline {FORMAT}\n".encode())
    for path in sorted(files):
        total.update(f"{len(path)}:{path}:{len(files[path])}:".encode())
        total.update(files[path])
    if input is not None:
        total.update(f"{len(input.name)}:{input.name}:{input.size}:sha256:{input.sha256}".encode())
    return total.hexdigest()
