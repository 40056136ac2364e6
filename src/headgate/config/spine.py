"""Settings that single variables say, GenAI Spine's names among them, put over the sections of the file (SPN-07, SPN-31).

Each becomes a node of the tree with the variable as its place, so that it is read, checked and explained like what the file says.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from headgate.config.environment import Environment, Found
from headgate.config.route_settings import STRATEGY_ALIASES
from headgate.config.tree import Branch, Leaf, Node, Series
from headgate.errors import ConfigError

STRATEGY = ("HEADGATE_ROUTING_STRATEGY", "GENAI_ROUTING_STRATEGY")
CHAIN = ("HEADGATE_FALLBACK_CHAIN", "GENAI_FALLBACK_CHAIN")
WEBHOOK = ("GENAI_BUDGET_WEBHOOK_URL",)
ACTION = "GENAI_BUDGET_ACTION"
WINDOWS = (("GENAI_BUDGET_DAILY", "day", "GENAI_BUDGET_WARN_DAILY"), ("GENAI_BUDGET_MONTHLY", "month", "GENAI_BUDGET_WARN_MONTHLY"))
ACTIONS = {"warn": "warn", "block": "block", "fallback": "degrade"}
"""Spine's words for what happens at the limit. Its fallback is the free local provider."""
DEFAULT_MODELS = {
    "openai": ("HEADGATE_OPENAI_DEFAULT_MODEL", "GENAI_OPENAI_DEFAULT_MODEL", "OPENAI_MODEL_NAME"),
    "anthropic": ("HEADGATE_ANTHROPIC_DEFAULT_MODEL", "GENAI_ANTHROPIC_DEFAULT_MODEL", "ANTHROPIC_MODEL_NAME_MEDIUM"),
    "gemini": ("HEADGATE_GEMINI_DEFAULT_MODEL", "GENAI_GEMINI_DEFAULT_MODEL", "GEMINI_MODEL_NAME_MEDIUM"),
    "ollama": ("HEADGATE_OLLAMA_DEFAULT_MODEL", "GENAI_OLLAMA_DEFAULT_MODEL"),
    "bedrock": ("HEADGATE_BEDROCK_DEFAULT_MODEL", "GENAI_BEDROCK_DEFAULT_MODEL"),
    "xai": ("HEADGATE_GROK_DEFAULT_MODEL", "GROK_MODEL_NAME"),
}
"""What names `providers.NAME.default_model`, the first that is set."""
VARIABLES = (
    *STRATEGY,
    *CHAIN,
    *WEBHOOK,
    ACTION,
    *(name for amount, _, warn in WINDOWS for name in (amount, warn)),
    *(name for names in DEFAULT_MODELS.values() for name in names),
)
"""Every variable that is read here."""


def overlaid(section: str, node: Node | None, environment: Environment) -> Node | None:
    """The node of a section with what variables say of it put over it. Raises `ConfigError` naming the variable."""
    put = _OVERLAYS.get(section)
    return node if put is None else put(node, environment)


def _first(names: tuple[str, ...], environment: Environment) -> Found | None:
    return next((found for name in names if (found := environment.get(name)) is not None), None)


def _leaf(found: Found) -> Leaf:
    return Leaf(found.value.strip(), "str", found.origin)


def _with(node: Node | None, key: str, value: Node) -> Node:
    """`node`, which is a mapping or nothing, with a key replaced; anything else stays, for its shape to refuse."""
    if node is None:
        return Branch({key: (value.where, value)}, value.where)
    return Branch({**node.entries, key: (value.where, value)}, node.where) if isinstance(node, Branch) else node


def _within(node: Node | None, key: str) -> Node | None:
    """What a mapping has under a key; None also for null."""
    found = node.entries[key][1] if isinstance(node, Branch) and key in node.entries else None
    return None if isinstance(found, Leaf) and found.kind == "null" else found


def _providers(node: Node | None, environment: Environment) -> Node | None:
    for provider, names in DEFAULT_MODELS.items():
        model = _first(names, environment)
        if model is not None:
            own = _with(_within(node, provider), "default_model", _leaf(model))
            node = node if own is None else _with(node, provider, own)
    return node


def _routing(node: Node | None, environment: Environment) -> Node | None:
    strategy, chain = _first(STRATEGY, environment), _first(CHAIN, environment)
    if strategy is not None:
        word = strategy.value.strip().lower()
        name = word if word in STRATEGY_ALIASES else word.replace("-", "_")
        node = _with(node, "strategy", Leaf(name, "str", strategy.origin))
    if chain is not None:
        names = tuple(Leaf(name.strip().lower(), "str", chain.origin) for name in chain.value.split(",") if name.strip())
        node = _with(node, "fallback", Series(names, chain.origin))
    return node


def _alerts(node: Node | None, environment: Environment) -> Node | None:
    webhook = _first(WEBHOOK, environment)
    return node if webhook is None else _with(node, "webhook", _leaf(webhook))


def _budgets(node: Node | None, environment: Environment) -> Node | None:
    """The budgets of the file; Spine's daily and monthly one replace those of the same window over everything."""
    for amount, window, warn in WINDOWS:
        found = environment.get(amount)
        if found is not None:
            node = _replaced(node, _budget(found, window, environment.get(warn), environment.get(ACTION)))
    return node


def _budget(amount: Found, window: str, warn: Found | None, action: Found | None) -> Branch:
    values: dict[str, Node] = {
        "scope": Leaf("global", "str", amount.origin),
        "limit_usd": _leaf(amount),
        "window": Leaf(window, "str", amount.origin),
    }
    if action is not None:
        values["action"] = Leaf(_action(action), "str", action.origin)
    if warn is not None:
        levels = sorted({_percent(warn), 100})
        values["alerts"] = Series(tuple(Leaf(str(level), "int", warn.origin) for level in levels), warn.origin)
    return Branch({key: (value.where, value) for key, value in values.items()}, amount.origin)


def _replaced(node: Node | None, budget: Branch) -> Node:
    if node is None:
        return Series((budget,), budget.where)
    if not isinstance(node, Series):
        return node
    kept = tuple(item for item in node.items if _identity(item) != _identity(budget))
    return Series((*kept, budget), node.where)


def _identity(node: Node) -> tuple[str, str]:
    """Scope and window of a budget; the window of the default when none is named."""
    found = {key: value.text for key, (_, value) in node.entries.items() if isinstance(value, Leaf)} if isinstance(node, Branch) else {}
    return found.get("scope", ""), found.get("window", "month")


def _action(found: Found) -> str:
    action = ACTIONS.get(found.value.strip().lower())
    if action is None:
        raise ConfigError(f"must be one of {', '.join(ACTIONS)}, not {found.value!r}", where=found.origin, hint=f"export {ACTION}=block")
    return action


def _percent(found: Found) -> int:
    try:
        share = Decimal(found.value.strip())
    except InvalidOperation:
        share = Decimal(0)
    if not share.is_finite() or not 0 < share <= 1:
        raise ConfigError(f"must be a share of the budget such as 0.8, not {found.value!r}", where=found.origin, hint="headgate doctor")
    return max(1, int(share * 100))


_OVERLAYS: dict[str, Callable[[Node | None, Environment], Node | None]] = {
    "providers": _providers,
    "routing": _routing,
    "alerts": _alerts,
    "budgets": _budgets,
}
