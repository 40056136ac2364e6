"""From names to candidates: routes, aliases, "auto", grades, ``provider/model``, and bare names that several providers know.

Built from values alone, and checked when it is built: a route whose fallbacks lead back to itself, or that names a deployment twice, is
an error of the settings.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from headgate.catalog.cards import Catalog, ModelCard, Price
from headgate.catalog.prices import rate_table
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import known_provider, resolve
from headgate.config.route_settings import DEFAULT_CHAIN, DeploymentSettings, RouteSettings, RoutingSettings
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.usage import BUCKETS
from headgate.errors import ConfigError
from headgate.router.strategies import PRIORS
from headgate.router.values import Candidate, Deployment, Entry, Limits, Rung

AUTO = "auto"
GRADES = ("high", "medium", "low")
GRADE_QUALITY = {"high": 500, "medium": 300, "low": 90, None: 0}
"""The rank of a model that has none of its own, by its tier."""
USUAL_PRIOR = 1.2
DYNAMIC = 1024
"""So many names that clients made up are remembered."""


def is_grade(name: str, providers: Collection[str]) -> bool:
    """Whether a name is that of a grade, everywhere ("low") or at one of `providers` ("openai/low")."""
    provider, slash, grade = name.lower().rpartition("/")
    return grade in GRADES and (not slash or provider in providers)


class BadRoute(ConfigError):
    """A route or an alias that cannot be. `path` is the setting that is wrong, such as ``routes.chat.fallback``."""

    def __init__(self, message: str, *, path: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


@contextmanager
def _at(path: str) -> Iterator[None]:
    """What goes wrong within is wrong at `path`."""
    try:
        yield
    except BadRoute:
        raise
    except ConfigError as error:
        raise BadRoute(error.message, path=path, hint=error.hint) from error


class ProviderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What routing has to know of a provider. `missing` says why it cannot be called (no key), None when it can.

    `ready`: it has been set up (one that needs no key may not be there at all). A `simulated` one is asked only where it is named, and
    its models do everything. `accounts` are its further accounts, each with what is missing. `models` are the models for "high", "medium"
    and "low" where the settings name them.
    """

    name: str
    default_model: str | None = None
    capabilities: Capabilities = ANY_MODEL
    traits: frozenset[str] = frozenset()
    missing: str | None = None
    ready: bool = True
    simulated: bool = False
    accounts: Mapping[str, str | None] = {}
    models: Mapping[str, str] = {}


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a table is made of. `day` (``YYYY-MM-DD``) chooses the prices, `default_provider` goes before the chain of "auto"."""

    catalog: Catalog
    providers: Mapping[str, ProviderFacts]
    day: str
    routing: RoutingSettings = RoutingSettings()
    routes: Sequence[RouteSettings] = ()
    aliases: Mapping[str, str] = {}
    default_provider: str | None = None


class RoutingTable:
    """Names and what they stand for. Raises `BadRoute` for routes and aliases that cannot be."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._of = surroundings
        self._routes = {route.name: route for route in surroundings.routes}
        self._found: dict[tuple[str, str | None], Entry] = {}
        self.entries = {name: self._route(route) for name, route in self._routes.items()}
        for alias in surroundings.aliases:
            with _at(f"aliases.{alias}"):
                self._candidates(alias, (), 0)
        self.deployments = {one.deployment.id: one.deployment for entry in self.entries.values() for one in entry.candidates}
        """Those of the routes; others come and go with the names clients use."""

    @property
    def names(self) -> tuple[str, ...]:
        """The routes and aliases, without what stands for a provider's model anyway."""
        return tuple(dict.fromkeys((*self._routes, *self._of.aliases)))

    @property
    def routing(self) -> RoutingSettings:
        """How one is chosen."""
        return self._of.routing

    def find(self, name: str, provider: str | None = None) -> Entry:
        """What `name` stands for, at `provider` where one is named. Raises `ConfigError` for an unknown name.

        Routes go before aliases, aliases before "auto" (also: no name), this before "high", "medium" and "low", these before the catalog.
        """
        if provider is None and name in self.entries:
            return self.entries[name]
        key = (name, provider)
        found = self._found.get(key)
        if found is None:
            found = self._entry(name, provider)
            if len(self._found) >= DYNAMIC:
                self._found.clear()
            self._found[key] = found
        return found

    def _entry(self, name: str, provider: str | None) -> Entry:
        if provider is not None:
            return self._at(known_provider(provider, self._of.providers), name)
        target = self._of.aliases.get(name)
        if target is not None:
            return msgspec.structs.replace(self.find(target), name=name)
        if name in ("", AUTO):
            return Entry(name=AUTO, candidates=self._chain())
        if name.lower() in GRADES:
            found = self._graded_everywhere(name.lower())
            if not found:
                raise ConfigError(f"no provider that can be called has a model of the grade {name.lower()!r}", hint="headgate models")
            return Entry(name=name, candidates=found)
        if is_grade(name, self._of.providers):
            provider, _, grade = name.lower().partition("/")
            return self._at(provider, grade)
        return self._named(name)

    def _at(self, provider: str, name: str) -> Entry:
        """`name` at one provider: its default model for "auto", its model of a grade, else the model itself."""
        facts = self._of.providers[provider]
        model = name
        if name in ("", AUTO):
            model = facts.default_model or ""
        elif name.lower() in GRADES:
            model = self._graded(facts, name.lower()) or ""
        if not model:
            raise ConfigError(f"{provider} has no model for {name or AUTO!r}", hint=f"headgate models --provider {provider}")
        found = resolve(model, provider, self._of.catalog, self._of.providers)
        return Entry(name=f"{provider}/{model}", candidates=(Candidate(self.deployment(found)),), explicit=True)

    def _named(self, name: str) -> Entry:
        """A model: ``provider/model``, or a bare name at every provider that knows it and can be called, its home first (CON-15)."""
        of = self._of
        cards = [card for card in of.catalog.named(name) if self._usable(card) and card.status != "retired"]
        if "/" not in name and len(cards) > 1:
            found = [resolve(name, card.provider, of.catalog, of.providers) for card in cards]
            return Entry(name=name, candidates=tuple(Candidate(self.deployment(one)) for one in found))
        if "/" not in name and len(cards) == 1:
            one = resolve(name, cards[0].provider, of.catalog, of.providers)
        else:
            one = resolve(name, None, of.catalog, of.providers)
        return Entry(name=name, candidates=(Candidate(self.deployment(one)),), explicit=True)

    def _usable(self, card: ModelCard) -> bool:
        facts = self._of.providers.get(card.provider)
        return facts is not None and facts.missing is None and facts.ready

    def _chain(self) -> tuple[Candidate, ...]:
        """Whom to ask when nobody is named: the default provider, then the chain; those that can be called (SPN-14, CON-13)."""
        of = self._of
        first = (of.default_provider,) if of.default_provider else ()
        links = tuple(dict.fromkeys((*first, *of.routing.fallback)))
        found = [candidate for link in links for candidate in self._candidates(link, (), 0)]
        named = of.routing.fallback != DEFAULT_CHAIN
        usable = [one for one in found if one.deployment.missing is None and (named or of.providers[one.deployment.provider].ready)]
        if usable:
            return _distinct(usable)
        ready = ", ".join(name for name, facts in of.providers.items() if facts.missing is None and facts.ready) or "none"
        raise ConfigError(
            f"no model is named, and none of {', '.join(links)} can be called; keys were found for: {ready}",
            hint="name a model, or set HEADGATE_FALLBACK_CHAIN to providers that have a key",
        )

    def _graded_everywhere(self, grade: str) -> tuple[Candidate, ...]:
        """The model of that grade of every provider that can be called (PAS-04); none, when none can."""
        of = self._of
        found = []
        named = {*of.routing.fallback, of.default_provider}
        for facts in of.providers.values():
            usable = facts.missing is None and facts.ready and (not facts.simulated or facts.name in named)
            model = self._graded(facts, grade) if usable else None
            if model is not None:
                found.append(Candidate(self.deployment(resolve(model, facts.name, of.catalog, of.providers))))
        return tuple(found)

    def _graded(self, facts: ProviderFacts, grade: str) -> str | None:
        """What the settings name, else the provider's first listed chat model of the grade."""
        named = facts.models.get(grade)
        if named is not None:
            return named
        entry = self._of.catalog.providers.get(facts.name)
        cards = entry.models if entry is not None else ()
        return next((card.id for card in cards if card.tier == grade and card.kind == "chat" and card.status == "active"), None)

    def _route(self, route: RouteSettings) -> Entry:
        found = self._own(route)
        first = 1 + max(one.group for one in found)
        for n, link in enumerate(route.fallback):
            with _at(f"routes.{route.name}.fallback[{n}]"):
                found += self._candidates(link, (route.name,), first + n)
        return Entry(name=route.name, candidates=_distinct(found), strategy=route.strategy, sticky=route.sticky, hedge=route.hedge)

    def _own(self, route: RouteSettings) -> list[Candidate]:
        """The deployments of a route, without its fallbacks."""
        at = f"routes.{route.name}.deployments"
        if not route.deployments:
            raise BadRoute(f"the route {route.name} has no deployment", path=at, hint="deployments: [openai/gpt-4o-mini]")
        if not any(settings.weight > 0 for settings in route.deployments):
            raise BadRoute(f"the route {route.name} needs a deployment with a weight above 0", path=at)
        found: dict[str, Candidate] = {}
        for n, settings in enumerate(route.deployments):
            with _at(f"{at}[{n}]"):
                one = self._configured(route.name, settings)
            if one.id in found:
                raise BadRoute(f"the route {route.name} names {one.id} twice: give it a weight instead", path=f"{at}[{n}]")
            found[one.id] = Candidate(one, int(not settings.weight))
        return list(found.values())

    def _candidates(self, name: str, above: tuple[str, ...], group: int) -> tuple[Candidate, ...]:
        """The candidates of a name in a fallback chain, all of `group`; `above` are the names it is part of (faults C19)."""
        if name in above:
            raise ConfigError(f"the route {above[0]} leads back to {name}: {' > '.join((*above, name))}")
        inside = (*above, name)
        if name in self._of.aliases and name not in self._routes:
            return self._candidates(self._of.aliases[name], inside, group)
        route = self._routes.get(name)
        if route is None:
            return tuple(Candidate(one.deployment, group) for one in self._linked(name))
        own = [Candidate(self._configured(name, settings), group) for settings in route.deployments]
        return (*own, *(one for link in route.fallback for one in self._candidates(link, inside, group)))

    def _linked(self, name: str) -> tuple[Candidate, ...]:
        """What a link stands for that is neither route nor alias: a provider's default model (none, if it has none), or a model."""
        facts = self._of.providers.get(name.lower())
        if facts is not None:
            return self._at(facts.name, "").candidates if facts.default_model else ()
        if name.lower() in GRADES:
            return self._graded_everywhere(name.lower())
        return self._entry(name, None).candidates if is_grade(name, self._of.providers) else self._named(name).candidates

    def _configured(self, route: str, settings: DeploymentSettings) -> Deployment:
        """The deployment of a route's settings."""
        try:
            found = resolve(settings.model, None, self._of.catalog, self._of.providers)
        except ConfigError as error:
            raise ConfigError(f"the route {route}: {error.message}", hint=error.hint) from error
        if not 0 <= settings.weight < math.inf:
            raise ConfigError(f"the route {route}: the weight of {settings.model} must be a number from 0 on")
        base = self.deployment(found, settings.account)
        limits = Limits(
            rpm=settings.rpm,
            tpm=settings.tpm,
            input_tpm=settings.input_tpm,
            output_tpm=settings.output_tpm,
            concurrency=settings.concurrency,
        )
        return msgspec.structs.replace(
            base,
            weight=settings.weight or 1.0,
            region=settings.region,
            private=base.private if settings.private is None else settings.private,
            timeout=settings.timeout,
            limits=limits,
        )

    def deployment(self, found: Resolved, account: str | None = None) -> Deployment:
        """The deployment of a resolved model. Raises `ConfigError` for an account the provider has not."""
        facts, card = self._of.providers[found.provider], found.card
        if account is not None and account not in facts.accounts:
            known = ", ".join(facts.accounts) or "none besides the usual one"
            raise ConfigError(f"{found.provider} has no account {account!r}; it has {known}", hint="see providers: in headgate.yaml")
        price = None if card is None else card.price_on(self._of.day)
        return Deployment(
            id=found.name if account is None else f"{found.name}#{account}",
            provider=found.provider,
            model=found.model,
            account=account,
            card=card,
            kind=None if card is None or facts.simulated else card.kind,
            family=_family(found),
            capabilities=facts.capabilities if card is None else card.capabilities,
            traits=facts.traits,
            private=bool({"private", "local"} & facts.traits),
            prices=rungs(price, card is not None and card.kind == "embedding"),
            quality=self._quality(found),
            prior=min((PRIORS[trait] for trait in facts.traits if trait in PRIORS), default=USUAL_PRIOR),
            missing=facts.missing if account is None else facts.accounts[account],
        )

    def _quality(self, found: Resolved) -> int:
        """The rank of a model: the settings', its card's or that of the same model at its home, else its tier's."""
        ranks, card = self._of.routing.quality, found.card
        for name in (found.name, found.model, *(() if card is None else (card.name, card.id))):
            if name in ranks:
                return ranks[name]
        if card is None:
            return 0
        known = (card, *(other for other in self._of.catalog.named(card.id) if self._of.catalog.is_home(other)))
        ranked = next((one.quality for one in known if one.quality is not None), None)
        return GRADE_QUALITY[next((one.tier for one in known if one.tier is not None), None)] if ranked is None else ranked


def _family(found: Resolved) -> str:
    """What deployments of one and the same model have in common: its id without the provider, and without what resellers put before it."""
    name = found.model if found.card is None else found.card.id
    return name.rpartition("/")[2].lower()


def _distinct(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The first of each deployment."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.deployment.id, candidate)
    return tuple(found.values())


def rungs(price: Price | None, vectors: bool) -> tuple[Rung, ...]:
    """List prices for input and output by the length of the prompt; empty when either is not listed. `vectors`: no output is billed."""
    if price is None:
        return ()
    found = []
    for above in (0, *(tier.above for tier in price.tiers)):
        table = rate_table(price, above + 1, "realtime")
        if table is None:
            return ()
        rates = dict(zip(BUCKETS, table.numerators, strict=True))
        into, out = rates["input_uncached"], rates["output_text"]
        if into is None or (out is None and not vectors):
            return ()
        found.append(Rung(above, into, out or 0, table.denominator))
    return tuple(found)
