"""Where the calls of an entry go: a provider of ours, one that is declared, and the account whose key it uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from headgate.compat.litellm.fates import Fates
from headgate.compat.litellm.tables import BUILT_IN, DECLARED, GUESSES, Elsewhere
from headgate.config.tree import Leaf, Node
from headgate.providers import PROVIDERS
from headgate.wire.json import JsonObject

_REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOVABLE = frozenset({"azure_openai", "ollama"})
"""Built-in providers whose address is the user's own; the first one found becomes theirs."""
DIALECTS = {"anthropic": "anthropic_messages", "gemini": "gemini_generate", "ollama": "ollama_chat"}
NOT_COPIED = "the key itself is not copied: put it into this variable"


class Spot(msgspec.Struct, frozen=True):
    """A provider, a model of it, and the account of its key; None: the usual key."""

    provider: str
    model: str
    account: str | None = None


class Places:
    """The providers that the settings will have to name, grown entry by entry."""

    def __init__(self, fates: Fates) -> None:
        self.providers: dict[str, JsonObject] = {}
        self._fates = fates
        self._bases: dict[str, str] = {}

    def spot(self, params: Mapping[str, Node], at: str) -> Spot | str:
        """The spot of an entry's parameters, or why there is none."""
        written = text_of(params.get("model"))
        if not written:
            return "the entry names no model"
        prefix, model = split_model(written, text_of(params.get("custom_llm_provider")), "api_base" in params or "base_url" in params)
        if prefix in BUILT_IN:
            return self._built_in(BUILT_IN[prefix], model, params, at)
        if prefix in DECLARED:
            return self._declared(prefix, DECLARED[prefix], model, params, at)
        return f"there is no provider {prefix or written!r}, and the entry does not say where one is (api_base)"

    def _built_in(self, provider: str, model: str, params: Mapping[str, Node], at: str) -> Spot | str:
        base, key = _base(params)
        if base is not None and not is_url(base):
            return f"{base!r} is no address"
        if base is not None and not self._is_usual(provider, base):
            if provider not in MOVABLE or self.providers.setdefault(provider, {}).setdefault("base_url", _address(base)) != _address(base):
                return self._moved(provider, base, model, params, at)
            self._fates.mapped(f"{at}.{key}", f"providers.{provider}.base_url")
        elif base is not None:
            self._fates.mapped(f"{at}.{key}", "the provider's own address")
        self._variables(provider, params, at)
        return Spot(provider, model, self._account(provider, PROVIDERS[provider].auth.env, params, at))

    def _is_usual(self, provider: str, base: str) -> bool:
        usual = urlsplit(PROVIDERS[provider].base_url).hostname
        return usual is not None and "{" not in usual and provider not in MOVABLE and urlsplit(base).hostname == usual

    def _moved(self, provider: str, base: str, model: str, params: Mapping[str, Node], at: str) -> Spot | str:
        """A built-in provider's wire at another address, as a declared provider."""
        if provider in {"bedrock", "vertex"}:
            self._fates.dropped(f"{at}.{_base(params)[1]}", f"the address of {provider} follows from its region")
            return Spot(provider, model, self._account(provider, PROVIDERS[provider].auth.env, params, at))
        more: JsonObject = {"dialect": DIALECTS[provider]} if provider in DIALECTS else {}
        if provider == "azure_openai":
            more = {"key_header": "api-key"}
            self._fates.approximated(f"{at}.{_base(params)[1]}", "providers", "a second Azure resource is called by its v1 interface")
            self._fates.approximated(f"{at}.api_version", "providers", "the v1 interface has no versions")
            base = f"{base.rstrip('/')}/openai/v1"
        return self._declared(provider, Elsewhere(None), model, params, at, base, more)

    def _declared(
        self,
        prefix: str,
        elsewhere: Elsewhere,
        model: str,
        params: Mapping[str, Node],
        at: str,
        moved: str | None = None,
        more: JsonObject | None = None,
    ) -> Spot | str:
        given, key = _base(params)
        base = moved or given or elsewhere.base_url
        if base is None:
            return f"the address of {prefix} is not said (api_base)"
        if not is_url(base):
            return f"{base!r} is no address"
        name = self._name(prefix, base, given is not None)
        own = self.providers.setdefault(name, {"base_url": _address(base), **(more or {})})
        if is_private(base):
            own["allow_private"] = True
        if given is not None:
            self._fates.mapped(f"{at}.{key}", f"providers.{name}.base_url")
        variable = self._variable(name, (elsewhere.key_env,) if elsewhere.key_env else (), params, at, f"providers.{name}.key_env")
        if variable is None and elsewhere.key_env is not None and given is None:
            variable = elsewhere.key_env
        if variable is None:
            return Spot(name, model)
        if own.setdefault("key_env", variable) == variable:
            return Spot(name, model)
        return Spot(name, model, self._new_account(name, variable))

    def _name(self, prefix: str, base: str, given: bool) -> str:
        """A name for the provider at an address: the same for the same address."""
        key = f"{prefix} {base}"
        if key not in self._bases:
            stem = prefix.replace("_", "-")
            wanted = f"{stem}-{_slug(_host(base))}" if given else stem
            taken = {*self._bases.values(), *PROVIDERS}
            self._bases[key] = next(name for n in range(len(taken) + 1) if (name := wanted if n == 0 else f"{wanted}-{n + 1}") not in taken)
        return self._bases[key]

    def _account(self, provider: str, usual: tuple[str, ...], params: Mapping[str, Node], at: str) -> str | None:
        variable = self._variable(provider, usual, params, at, f"providers.{provider}.accounts")
        return None if variable is None or variable in usual else self._new_account(provider, variable)

    def _new_account(self, provider: str, variable: str) -> str:
        name = _slug(variable)
        self.providers.setdefault(provider, {}).setdefault("accounts", {})[name] = {"key_env": variable}
        return name

    def _variable(self, provider: str, usual: tuple[str, ...], params: Mapping[str, Node], at: str, to: str) -> str | None:
        """The variable with an entry's key; None when it names none."""
        key = text_of(params.get("api_key"))
        if key is None:
            return None
        reference = _REFERENCE.fullmatch(key)
        if reference is not None:
            self._fates.mapped(
                f"{at}.api_key", f"the variable {reference[1]}" if reference[1] in usual else f"{to}: the variable {reference[1]}"
            )
            return reference[1]
        variable = usual[0] if usual else f"{_slug(provider).replace('-', '_').upper()}_KEY"
        if key.lower() in {"none", "null", "dummy", "fake-key", "empty", "anything", "sk-fake"}:
            self._fates.approximated(f"{at}.api_key", "no key", "a key that is none")
            return None
        self._fates.approximated(f"{at}.api_key", f"the variable {variable}", NOT_COPIED)
        return variable

    def _variables(self, provider: str, params: Mapping[str, Node], at: str) -> None:
        """Parts of a provider's address; of several values the first counts."""
        for key, wanted, variable in _PARTS:
            value = text_of(params.get(key))
            if provider != wanted or value is None:
                continue
            reference = _REFERENCE.fullmatch(value)
            given = f"${{{reference[1]}:-unset}}" if reference is not None else value
            kept = self.providers.setdefault(provider, {}).setdefault("variables", {}).setdefault(variable, given)
            to = f"providers.{provider}.variables.{variable}"
            if kept == given:
                self._fates.mapped(f"{at}.{key}", to)
            else:
                self._fates.approximated(f"{at}.{key}", to, f"one for each provider, and {kept} came first")
        for key, variable in _AWS:
            value = text_of(params.get(key))
            if provider == "bedrock" and value is not None:
                reference = _REFERENCE.fullmatch(value)
                if reference is not None and reference[1] == variable:
                    self._fates.mapped(f"{at}.{key}", f"the variable {variable}")
                else:
                    self._fates.approximated(f"{at}.{key}", f"the variable {variable}", NOT_COPIED)
        if provider == "vertex" and "vertex_credentials" in params:
            reason = "a token in this variable, or in a key_file that another program renews"
            self._fates.approximated(f"{at}.vertex_credentials", "the variable VERTEX_ACCESS_TOKEN", reason)


_PARTS = (
    ("api_version", "azure_openai", "api_version"),
    ("aws_region_name", "bedrock", "region"),
    ("region_name", "bedrock", "region"),
    ("vertex_project", "vertex", "project"),
    ("vertex_location", "vertex", "location"),
)
_AWS = (
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
)


def split_model(written: str, provider: str | None, has_base: bool) -> tuple[str, str]:
    """Prefix and model of a name as LiteLLM reads it: "azure/eu-gpt" is ("azure", "eu-gpt")."""
    prefix, slash, rest = written.partition("/")
    known = {*BUILT_IN, *DECLARED}
    if provider is not None:
        return provider, rest if slash and prefix == provider else written
    if slash and prefix in known:
        return prefix, _without_route(prefix, rest)
    guess = next((name for pattern, name in GUESSES if pattern.match(written)), None)
    if guess is not None and not slash:
        return guess, written
    return ("openai_like", written) if has_base else (prefix if slash else "", rest if slash else written)


def _without_route(prefix: str, rest: str) -> str:
    """A model without the words that choose an interface within a provider ("bedrock/converse/…")."""
    routes = {
        "bedrock": ("converse/", "invoke/", "converse_like/"),
        "openai": ("responses/", "chat/completions/"),
        "azure": ("responses/",),
    }
    for route in routes.get(prefix, ()):
        rest = rest.removeprefix(route)
    return rest


_INTERFACES = {
    "bedrock": ("converse/", "invoke/", "converse_like/"),
    "openai": ("responses/", "chat/completions/"),
    "azure": ("responses/",),
}


def text_of(node: Node | None) -> str | None:
    """The text of a single value; None for none, for nothing, and for lists and mappings."""
    return node.text if isinstance(node, Leaf) and node.kind != "null" and node.text else None


def reference_of(text: str) -> str | None:
    """The variable of ``os.environ/NAME``."""
    found = _REFERENCE.fullmatch(text)
    return None if found is None else found[1]


def _base(params: Mapping[str, Node]) -> tuple[str | None, str]:
    """An entry's address, and the key it stands under."""
    key = "base_url" if "base_url" in params and "api_base" not in params else "api_base"
    return text_of(params.get(key)), key


def _address(base: str) -> str:
    """An address as the settings write it; of a variable that is not set it is one that nothing answers at."""
    reference = _REFERENCE.match(base)
    return base if reference is None else f"${{{reference[1]}:-https://{_slug(reference[1])}.invalid}}{base[reference.end() :]}"


def _host(base: str) -> str:
    reference = _REFERENCE.match(base)
    return reference[1] if reference is not None else urlsplit(base).netloc or base


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return slug if slug[:1].isalpha() else f"at-{slug}"


def is_url(base: str) -> bool:
    """Whether a text is an address, or a variable that holds one."""
    if _REFERENCE.match(base):
        return True
    try:
        parts = urlsplit(base)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def is_private(base: str) -> bool:
    """Whether an address is of this machine or a private network: by number, or by a name without a dot."""
    try:
        host = urlsplit(base).hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".internal"))) and not base.startswith("os.environ/")
