"""The sections ``aliases``, ``routes`` and ``routing`` of the settings."""

from __future__ import annotations

import msgspec

from headgate.config.records import struct_of
from headgate.config.route_settings import STRATEGIES, STRATEGY_ALIASES, DeploymentSettings, RouteSettings, RoutingSettings
from headgate.config.scalars import choice, flag, number, seconds, text, whole
from headgate.config.shapes import Field, Items, Named, Reading, Record, Shape

NAME = r"[^\s\x00-\x1f\x7f]{1,200}"
MODEL = text("text such as openai/gpt-4o-mini", NAME)
STICKY = choice(("session", "prefix"))
STRATEGY = choice(STRATEGIES, STRATEGY_ALIASES)


def _names(what: str) -> Items:
    return Items(item=text(what, NAME), most=100, check=_different)


def _different(items: tuple[object, ...]) -> None:
    twice = next((item for n, item in enumerate(items) if item in items[:n]), None)
    if twice is not None:
        raise ValueError(f"has {twice} twice")


DEPLOYMENT = Record(
    short="model",
    fields={
        "model": Field(shape=MODEL, required=True, meaning="the model, as `provider/model`"),
        "account": Field(shape=text("name of an account", NAME), meaning="an account of `providers.NAME.accounts`"),
        "weight": Field(shape=number(0.0, 1e6, "number"), meaning="its share under the strategy `weighted`; 0: only as a fallback"),
        "rpm": Field(shape=whole(), meaning="requests a minute the account may make there"),
        "tpm": Field(shape=whole(), meaning="tokens a minute, in and out together"),
        "input_tpm": Field(shape=whole(), meaning="tokens in, a minute"),
        "output_tpm": Field(shape=whole(), meaning="tokens out, a minute"),
        "concurrency": Field(shape=whole(1, 1_000_000), meaning="requests at once"),
        "timeout": Field(shape=seconds(), meaning="longest time of a call, in place of `request_timeout`"),
        "region": Field(shape=text("name of a region", NAME), meaning="where it is; a request may ask for one"),
        "private": Field(shape=flag(), meaning="what is sent there stays in the house; as the provider's traits say when left out"),
    },
    make=struct_of(DeploymentSettings),
)


def _weighed(items: tuple[object, ...]) -> None:
    if not any(isinstance(item, DeploymentSettings) and item.weight > 0 for item in items):
        raise ValueError("needs a deployment with a weight above 0")


ROUTE = Record(
    fields={
        "strategy": Field(shape=STRATEGY, meaning="how a deployment is chosen; `routing.strategy` when left out"),
        "sticky": Field(shape=STICKY, meaning="what goes to the same deployment again: a session, or a prompt's beginning"),
        "hedge": Field(shape=seconds(600.0), meaning="without a first byte after this time a second deployment is asked as well"),
        "deployments": Field(
            shape=Items(item=DEPLOYMENT, least=1, most=200, check=_weighed), required=True, meaning="what may answer under this name"
        ),
        "fallback": Field(
            shape=_names("name of a model, route or provider"), meaning="what is tried after these, in order: models, routes, or providers"
        ),
    },
    make=lambda values, reading: msgspec.convert({"name": "", **values}, RouteSettings),
)


def _named(name: str, value: object, reading: Reading) -> object:
    assert isinstance(value, RouteSettings)
    if name in value.fallback:
        raise ValueError("falls back to itself")
    return msgspec.structs.replace(value, name=name)


ROUTES = Named(item=ROUTE, pattern=NAME, name_words="a name without blanks", check=_named)
ALIASES = Named(item=MODEL, pattern=NAME, name_words="a name without blanks")
ROUTING = Record(
    fields={
        "strategy": Field(shape=STRATEGY, meaning="how one of several deployments is chosen"),
        "fallback": Field(
            shape=_names("name of a provider or model"),
            meaning="providers or models to try, in order, for a request that names no model or route",
        ),
        "attempts": Field(shape=whole(1, 20), meaning="calls a request may take, the first included"),
        "retry_budget": Field(
            shape=number(0.0, 1.0, "number from 0 to 1"), meaning="share of the live requests that may be further attempts"
        ),
        "deadline": Field(shape=seconds(), meaning="longest time of a request with all its attempts"),
        "sticky": Field(shape=STICKY, meaning="the same for routes that do not say"),
        "on_context_length": Field(
            shape=choice(("fail", "larger")), meaning="a prompt too long for a model: an error, or on to a larger one of the route"
        ),
        "on_content_filter": Field(
            shape=choice(("fail", "fallback")), meaning="what a provider refused to answer: an error, or on to another provider"
        ),
        "quality": Field(
            shape=Named(item=whole(0, 1_000_000), pattern=NAME, name_words="a model such as openai/gpt-4o"),
            meaning="ranks of models for the strategy `quality`, over the catalog's; the higher the better",
        ),
    },
    make=struct_of(RoutingSettings),
)
SHAPES: dict[str, Shape] = {"aliases": ALIASES, "routes": ROUTES, "routing": ROUTING}
"""The sections by name."""
