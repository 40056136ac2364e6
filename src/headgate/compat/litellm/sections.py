"""``router_settings``, ``litellm_settings``, ``general_settings`` and the smaller ones: what has a counterpart finds its place here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from headgate.compat.litellm.entries import BASES, Entries, keys_of, number_of
from headgate.compat.litellm.fates import Fates
from headgate.compat.litellm.places import reference_of, text_of
from headgate.config.route_settings import STRATEGY_ALIASES
from headgate.config.tree import Branch, Node, Series
from headgate.wire.json import JsonObject

_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d|w|mo)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_WINDOWS = {86_400: "day", 604_800: "week", 2_592_000: "month"}
MOST_SECONDS = 86_400


class Sections:
    """The settings besides models, grown key by key. `fallbacks` are names by name, in their order."""

    def __init__(self, root: Mapping[str, Node], entries: Entries, fates: Fates) -> None:
        self.settings: JsonObject = {}
        self.fallbacks: dict[str, list[str]] = {}
        self.defaults: list[str] = []
        self.same: dict[str, str] = {}
        self.named: list[tuple[str, str]] = []
        """Path of a key and each name in it that must be one of the model list."""
        self._budgets: list[JsonObject] = []
        self._limits: dict[str, JsonObject] = {}
        self._routing: JsonObject = {}
        self._entries = entries
        self._fates = fates
        for section in ("router_settings", "litellm_settings", "general_settings"):
            keys = keys_of(root.get(section))
            for key, node in keys.items():
                self._key(section, key, node, keys)
        self._variables(root)
        for target, (amount, duration, at) in entries.budgets.items():
            self._budget(f"model:{target}", amount, duration, f"{at}.max_budget", f"{at}.budget_duration")
        self._finish()

    def _finish(self) -> None:
        if self._routing:
            self.settings["routing"] = self._routing
        if self._budgets:
            self.settings["budgets"] = self._budgets
        if self._limits:
            self.settings["limits"] = [{"subject": subject, **limit} for subject, limit in self._limits.items()]

    def _key(self, section: str, key: str, node: Node, keys: Mapping[str, Node]) -> None:
        take = _TAKEN.get(f"{section}.{key}") or _TAKEN.get(key)
        if take is not None:
            take(self, f"{section}.{key}", node, keys)

    # routing

    def strategy(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """The routing strategy."""
        name = text_of(node) or ""
        if name in STRATEGY_ALIASES:
            self._routing["strategy"] = STRATEGY_ALIASES[name]
            self._fates.mapped(at, f"routing.strategy: {STRATEGY_ALIASES[name]}")
        else:
            self._fates.dropped(at, f"there is no strategy {name!r}")

    def retries(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Tries after the first one."""
        count = number_of(text_of(node))
        if count is None or not 0 <= count <= 100:
            self._fates.dropped(at, "no number of retries")
            return
        attempts = self._routing.setdefault("attempts", min(20, int(count) + 1))
        if attempts == count + 1:
            self._fates.mapped(at, f"routing.attempts: {attempts}")
        else:
            self._fates.approximated(at, f"routing.attempts: {attempts}", "one number for all, and at most 20")

    def timeout(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Seconds for a call."""
        seconds = number_of(text_of(node))
        if seconds is None or seconds <= 0:
            self._fates.dropped(at, "no number of seconds")
            return
        kept = self.settings.setdefault("request_timeout", int(min(seconds, MOST_SECONDS)) or 1)
        if kept == seconds:
            self._fates.mapped(at, f"request_timeout: {kept}")
        else:
            self._fates.approximated(at, f"request_timeout: {kept}", "one number for all, and at most a day")

    def chains(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Fallbacks of each name: a list of mappings from a name to names."""
        for item in node.items if isinstance(node, Series) else ():
            for name, names in keys_of(item).items():
                chain = self.fallbacks.setdefault(name, [])
                chain += [other for other in _names(names) if other not in chain]
                self.named += [(at, other) for other in (name, *_names(names))]
        key = at.rpartition(".")[2]
        if key == "context_window_fallbacks":
            self._routing["on_context_length"] = "larger"
            self._fates.approximated(at, "routing.on_context_length, routes.fallback", "one chain for all reasons to fall back")
        elif key == "content_policy_fallbacks":
            self._routing["on_content_filter"] = "fallback"
            self._fates.approximated(at, "routing.on_content_filter, routes.fallback", "one chain for all reasons to fall back")
        else:
            self._fates.mapped(at, "routes.fallback")

    def default_chain(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Fallbacks of every name that has none of its own."""
        self.defaults += [name for name in _names(node) if name not in self.defaults]
        self.named += [(at, name) for name in _names(node)]
        self._fates.mapped(at, "routes.fallback of every route without one")

    def group_names(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Further names of the names of models."""
        for name, value in keys_of(node).items():
            other = text_of(value) or text_of(keys_of(value).get("model"))
            if other is not None:
                self.same[name] = other
                self.named.append((at, other))
        self._fates.mapped(at, "aliases")

    # money and limits

    def global_budget(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """What everything together may cost."""
        self._budget("global", text_of(node), text_of(keys.get("budget_duration")), at, f"{at.rpartition('.')[0]}.budget_duration")

    def user_budget(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """What each user may cost."""
        duration = text_of(keys.get("internal_user_budget_duration"))
        self._budget("user:*", text_of(node), duration, at, f"{at.rpartition('.')[0]}.internal_user_budget_duration")

    def provider_budgets(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """What each provider may cost."""
        for name, value in keys_of(node).items():
            inner = keys_of(value)
            amount = text_of(inner.get("budget_limit")) or text_of(inner.get("max_budget"))
            duration = text_of(inner.get("time_period")) or text_of(inner.get("budget_duration"))
            self._budget(f"provider:{BASES.get(name, name)}", amount, duration, f"{at}.{name}", f"{at}.{name}")

    def key_defaults(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """What every key gets that is made without more."""
        inner = keys_of(node)
        if "max_budget" in inner:
            amount, duration = text_of(inner["max_budget"]), text_of(inner.get("budget_duration"))
            self._budget("key:*", amount, duration, f"{at}.max_budget", f"{at}.budget_duration")
        for key, to in (("rpm_limit", "rpm"), ("tpm_limit", "tpm"), ("max_parallel_requests", "concurrency")):
            if key in inner:
                self._limit("key:*", to, inner[key], f"{at}.{key}")
        for key in inner:
            if key not in _KEY_DEFAULTS:
                self._fates.dropped(f"{at}.{key}", "set on each key when it is made: headgate keys create")

    def each_at_once(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Requests at once, of each key."""
        self._limit("key:*", "concurrency", node, at)

    def all_at_once(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Requests at once, together."""
        self._limit("global", "concurrency", node, at)

    def _limit(self, subject: str, what: str, node: Node, at: str) -> None:
        count = number_of(text_of(node))
        if count is None or not 1 <= count <= 1_000_000 or count != int(count):
            self._fates.dropped(at, "no whole number")
            return
        self._limits.setdefault(subject, {})[what] = int(count)
        self._fates.mapped(at, f"limits: {subject}, {what}")

    def _budget(self, scope: str, amount: str | None, duration: str | None, at: str, duration_at: str) -> None:
        window, exact = window_of(duration)
        dollars = _dollars(amount)
        if dollars is None or window is None:
            self._fates.dropped(at, f"no amount in dollars, or no duration: {amount}, {duration}")
            return
        if any((budget["scope"], budget["window"]) == (scope, window) for budget in self._budgets):
            self._fates.dropped(at, f"another budget of {scope} for the same time came first")
            return
        self._budgets.append({"scope": scope, "limit_usd": dollars, "window": window, "action": "block"})
        to = f"budgets: {scope}, ${dollars}, {window}"
        for key in dict.fromkeys((at, duration_at)):
            if exact:
                self._fates.mapped(key, to)
            else:
                self._fates.approximated(key, to, "windows begin with the day, week or month in UTC, not with the first use")

    # the server

    def cache(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """The cache of answers."""
        params = keys_of(keys.get("cache_params"))
        if text_of(node) not in {"true", "True"}:
            self._fates.mapped(at, "no cache")
            return
        age = number_of(text_of(params.get("ttl")))
        self.settings["cache"] = {"max_age": int(age)} if age is not None and 1 <= age <= 31_536_000 else {}
        self._fates.approximated(at, "cache", "a request asks for it: X-Cache-Control: max-age=60")

    def cache_params(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """What kind of cache, and for how long."""
        for key in keys_of(node):
            path = f"{at}.{key}"
            if key == "ttl":
                self._fates.mapped(path, "cache.max_age")
            elif key in _SEMANTIC:
                self._fates.dropped(path, "only equal requests are answered from the cache")
            else:
                self._fates.approximated(path, "cache", "answers are kept in memory")

    def master_key(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """The key of whoever runs the proxy."""
        variable = reference_of(text_of(node) or "")
        also = f", which is that of {variable} now" if variable is not None else "; the key itself is not copied"
        reason = f"it calls models; HEADGATE_ADMIN_KEY is another one, to administer{also}"
        self._fates.approximated(at, "the variable HEADGATE_KEY", reason)

    def body_limit(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """The largest request, in MB."""
        size = number_of(text_of(node))
        if size is None or not 0 < size <= 1_000_000:
            self._fates.dropped(at, "no number of megabytes")
            return
        self.settings.setdefault("gateway", {})["body_limit"] = max(1, int(size * (1 << 20)))
        self._fates.mapped(at, "gateway.body_limit")

    def store_prompts(self, at: str, node: Node, keys: Mapping[str, Node]) -> None:
        """Whether prompts are kept."""
        if text_of(node) in {"true", "True"}:
            self._fates.dropped(at, "receipts hold no prompts; record a key's requests with headgate keys create --record")
        else:
            self._fates.mapped(at, "gateway.store_prompts: false, the default")

    def _variables(self, root: Mapping[str, Node]) -> None:
        """Variables of the configuration, which are the environment's here."""
        for name in keys_of(root.get("environment_variables")):
            self._fates.approximated(f"environment_variables.{name}", f"the variable {name}", "set it in the environment, or in .env")


_KEY_DEFAULTS = {"max_budget", "budget_duration", "rpm_limit", "tpm_limit", "max_parallel_requests"}
_SEMANTIC = {"similarity_threshold", "qdrant_semantic_cache_embedding_model", "redis_semantic_cache_embedding_model", "semantic_cache"}
_TAKEN: dict[str, Callable[[Sections, str, Node, Mapping[str, Node]], None]] = {
    "routing_strategy": Sections.strategy,
    "num_retries": Sections.retries,
    "timeout": Sections.timeout,
    "request_timeout": Sections.timeout,
    "fallbacks": Sections.chains,
    "context_window_fallbacks": Sections.chains,
    "content_policy_fallbacks": Sections.chains,
    "default_fallbacks": Sections.default_chain,
    "model_group_alias": Sections.group_names,
    "provider_budget_config": Sections.provider_budgets,
    "default_max_parallel_requests": Sections.each_at_once,
    "litellm_settings.max_budget": Sections.global_budget,
    "litellm_settings.max_internal_user_budget": Sections.user_budget,
    "litellm_settings.default_key_generate_params": Sections.key_defaults,
    "litellm_settings.cache": Sections.cache,
    "litellm_settings.cache_params": Sections.cache_params,
    "general_settings.max_budget": Sections.global_budget,
    "general_settings.master_key": Sections.master_key,
    "general_settings.max_parallel_requests": Sections.each_at_once,
    "general_settings.global_max_parallel_requests": Sections.all_at_once,
    "general_settings.max_request_size_mb": Sections.body_limit,
    "general_settings.store_prompts_in_spend_logs": Sections.store_prompts,
}
"""By key, with its section where that matters."""


def _names(node: Node) -> list[str]:
    """The names in a list; a fallback may also be a mapping that names its model."""
    found = []
    for item in node.items if isinstance(node, Series) else (node,):
        name = text_of(item) or (text_of(keys_of(item).get("model")) if isinstance(item, Branch) else None)
        if name is not None:
            found.append(name)
    return found


def window_of(duration: str | None) -> tuple[str | None, bool]:
    """Our window for a duration such as "30d", and whether it is the very same; none at all is for ever."""
    if duration is None:
        return "total", True
    found = _DURATION.fullmatch(duration)
    if found is None:
        return None, False
    seconds = int(found[1]) * _UNITS[found[2]]
    return (_WINDOWS[seconds], False) if seconds in _WINDOWS else (f"rolling:{seconds}", False)


def _dollars(amount: str | None) -> str | None:
    try:
        found = None if amount is None else Decimal(amount)
    except InvalidOperation:
        return None
    if found is None or not found.is_finite() or not 0 <= found < 1_000_000_000 or found != found.quantize(Decimal("1e-9")):
        return None
    return f"{found.normalize():f}"
