"""The sections ``budgets``, ``limits``, ``alerts``, ``cache`` and ``gateway`` of the settings."""

from __future__ import annotations

from headgate.config.gate_settings import AlertSettings, BudgetSettings, CacheSettings, GatewaySettings, LimitSettings
from headgate.config.records import struct_of
from headgate.config.scalars import SHORTEST_SECRET, amount, choice, flag, seconds, secret_url, size, text, variable_name, whole
from headgate.config.secret import Secret
from headgate.config.shapes import Field, Items, Reading, Record, Shape

_NAME = r"[^\s\x00-\x1f\x7f]{1,200}"
SCOPE = text(
    "text: global, or key:, team:, user:, tag:, provider:, model: or run: with a name or *",
    rf"global|(?:key|team|user|tag|provider|model|run):{_NAME}",
)
SUBJECT = text(
    "text: global, or key:, team:, user:, tag:, provider:, model: or deployment: with a name or *",
    rf"global|(?:key|team|user|tag|provider|model|deployment):{_NAME}",
)
WINDOW = text("text: day, week, month, total, or rolling: with seconds", r"day|week|month|total|rolling:[1-9][0-9]{1,8}")
_BOUNDS = ("rpm", "tpm", "input_tpm", "output_tpm", "concurrency")


def _rising(items: tuple[object, ...]) -> None:
    levels = [item for item in items if isinstance(item, int)]
    if levels != sorted(set(levels)):
        raise ValueError("must rise, such as [75, 90, 100]")


def _one_budget_each(items: tuple[object, ...]) -> None:
    seen: set[tuple[str, str]] = set()
    for item in items:
        assert isinstance(item, BudgetSettings)
        if (item.scope, item.window) in seen:
            raise ValueError(f"has two budgets for {item.scope} and the window {item.window}")
        seen.add((item.scope, item.window))


def _one_limit_each(items: tuple[object, ...]) -> None:
    seen: set[str] = set()
    for item in items:
        assert isinstance(item, LimitSettings)
        if item.subject in seen:
            raise ValueError(f"has the subject {item.subject} twice")
        seen.add(item.subject)


BUDGET = Record(
    fields={
        "scope": Field(
            shape=SCOPE, required=True, meaning="whose money: `global`, or a kind and a name; `*` gives each a balance of its own"
        ),
        "limit_usd": Field(shape=amount(), required=True, to="limit_nanos", meaning="at most this in a window"),
        "window": Field(shape=WINDOW, meaning="`day`, `week`, `month`, `total` or `rolling:SECONDS`, in UTC"),
        "action": Field(
            shape=choice(("warn", "block", "clamp", "degrade")),
            meaning="at the limit: only say so, refuse, lower the request's output to what is left, or use a cheaper or local model",
        ),
        "alerts": Field(
            shape=Items(item=whole(1, 100), most=20, check=_rising), meaning="percentages of the limit that are told once a window"
        ),
    },
    make=struct_of(BudgetSettings),
)
LIMIT = Record(
    any_of=_BOUNDS,
    fields={
        "subject": Field(shape=SUBJECT, required=True, meaning="whom: as `scope`, or `deployment:` and its name"),
        "rpm": Field(shape=whole(), meaning="requests a minute"),
        "tpm": Field(shape=whole(), meaning="tokens a minute, in and out together"),
        "input_tpm": Field(shape=whole(), meaning="tokens in, a minute"),
        "output_tpm": Field(shape=whole(), meaning="tokens out, a minute"),
        "concurrency": Field(shape=whole(1, 1_000_000), meaning="requests at once"),
        "queue": Field(shape=seconds(600.0, zero=True), meaning="how long a request may wait for its turn; 0 refuses at once"),
    },
    make=struct_of(LimitSettings),
)


def _alerts(values: dict[str, object], reading: Reading) -> AlertSettings:
    webhook, name = values.get("webhook"), values.get("secret_env")
    assert webhook is None or isinstance(webhook, Secret)
    if name is None:
        return AlertSettings(webhook=webhook)
    found = reading.environment.get(str(name))
    if found is None or len(found.value) < SHORTEST_SECRET:
        raise ValueError(f"names the variable {name} in secret_env, which must hold {SHORTEST_SECRET} characters or more")
    return AlertSettings(webhook=webhook, secret=Secret(found.value))


ALERTS = Record(
    fields={
        "webhook": Field(shape=secret_url(), meaning="where alerts are posted to, besides the log"),
        "secret_env": Field(shape=variable_name(), meaning="the variable with the secret that signs what is posted, 16 characters or more"),
    },
    make=_alerts,
)
CACHE = Record(
    fields={
        "max_age": Field(shape=whole(1, 31_536_000), meaning="the greatest age, in seconds, that a request may ask for"),
        "max_bytes": Field(shape=size(), meaning="what is kept, in each process"),
    },
    make=struct_of(CacheSettings),
)
GATEWAY = Record(
    fields={
        "workers": Field(shape=whole(1, 256), meaning="processes"),
        "body_limit": Field(shape=size(), meaning="the largest request that is read"),
        "header_timeout": Field(shape=seconds(600.0), meaning="until the headers of a request must be there"),
        "drain": Field(shape=seconds(3600.0, zero=True), meaning="what requests under way get when it stops"),
        "max_in_flight": Field(shape=whole(1, 1_000_000), meaning="requests at once in each process; more are refused with 503"),
        "metrics": Field(
            shape=choice(("key", "open", "none"), {"true": "key", "false": "none"}),
            meaning="who may read `/metrics`: bearers of a key with the right, whoever can connect, nobody",
        ),
        "store_prompts": Field(shape=flag(), meaning="prompts and answers may be kept on disk, by a cache that outlives the process"),
    },
    make=struct_of(GatewaySettings),
)
SHAPES: dict[str, Shape] = {
    "budgets": Items(item=BUDGET, most=1000, check=_one_budget_each),
    "limits": Items(item=LIMIT, most=1000, check=_one_limit_each),
    "alerts": ALERTS,
    "cache": CACHE,
    "gateway": GATEWAY,
}
"""The sections by name."""
