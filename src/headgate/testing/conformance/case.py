"""What a conformance check is: a function over a subject, and the ability without which it does not apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeAlias

import msgspec

from headgate.catalog.cards import Catalog, ModelCard
from headgate.dialects.base import ChatDialect
from headgate.domain.capabilities import Capabilities
from headgate.providers import Provider
from headgate.testing import samples
from headgate.wire.json import Json

SHOWN = 1500


class Nonconforming(AssertionError):
    """A provider's record, dialect or exchange breaks the contract; the message says where and how."""


class Subject(msgspec.Struct, frozen=True):
    """The provider under test and the card of its default model (None: the catalog does not know it).

    `surface` names the chat wire under test, when it is not the provider's usual one.
    """

    provider: Provider
    card: ModelCard | None = None
    surface: str | None = None

    @property
    def chat(self) -> ChatDialect:
        """The chat wire under test."""
        return (self.provider.speaks(self.surface) if self.surface else None) or self.provider.chat

    @property
    def capabilities(self) -> Capabilities:
        """What the default model can do; what the provider declares when there is no card."""
        return self.provider.capabilities if self.card is None else self.card.capabilities

    @property
    def model(self) -> str:
        """The model that requests name."""
        return self.provider.default_model or "a-model"


Check: TypeAlias = Callable[[Subject], None]
Need: TypeAlias = Callable[[Subject], str | None]
"""None when the subject is able, else why a check does not apply to it."""


class Case(msgspec.Struct, frozen=True):
    """One check of one provider. `skip` says why it does not apply; `run` raises `Nonconforming`, or whatever the provider's code leaks."""

    name: str
    subject: Subject
    check: Check
    skip: str | None = None

    def run(self) -> None:
        """Carry out the check, whether it applies or not."""
        self.check(self.subject)

    @property
    def title(self) -> str:
        """The check's name, with that of the wire where it is not the provider's usual one."""
        return f"{self.subject.surface}:{self.name}" if self.subject.surface else self.name

    def __str__(self) -> str:
        surface = f"+{self.subject.surface}" if self.subject.surface else ""
        return f"{self.subject.provider.name}{surface}-{self.name}"


class Entry(msgspec.Struct, frozen=True):
    """A check of the suite under its name, with what it needs."""

    name: str
    check: Check
    needs: tuple[Need, ...] = ()


def case_of(entry: Entry, subject: Subject) -> Case:
    """The check for this provider, skipped for the first ability it lacks."""
    reasons = (need(subject) for need in entry.needs)
    return Case(entry.name, subject, entry.check, next((reason for reason in reasons if reason is not None), None))


def subject_of(provider: Provider, catalog: Catalog) -> Subject:
    """The provider with the card of its default model."""
    card = None if provider.default_model is None else catalog.find(provider.name, provider.default_model)
    return Subject(provider, card)


def fail(what: str) -> NoReturn:
    """Raise `Nonconforming`."""
    raise Nonconforming(what)


def expect(holds: bool, what: str) -> None:
    """Raise `Nonconforming` unless `holds`."""
    if not holds:
        fail(what)


def expect_equal(actual: Json, wanted: Json, what: str) -> None:
    """Raise `Nonconforming` showing both values unless they are equal."""
    if actual != wanted:
        fail(f"{what}:\n  is     {_shown(actual)}\n  wanted {_shown(wanted)}")


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text)} characters)"


def able(field: str, what: str) -> Need:
    """The need of a boolean capability."""

    def need(subject: Subject) -> str | None:
        return None if getattr(subject.capabilities, field) else f"the model {what}"

    return need


def structured(subject: Subject) -> str | None:
    """The need of answers in a schema."""
    return None if subject.capabilities.structured_output in ("native", "tool") else "the model takes no schema"


def stops(subject: Subject) -> str | None:
    """The need of stop sequences, at least two."""
    most = subject.capabilities.stop_max
    return "the model takes no two stop sequences" if most is not None and most < 2 else None


def thinks(subject: Subject) -> str | None:
    """The need of reasoning that can be asked for."""
    return None if subject.capabilities.reasoning != "none" else "the model does not think on request"


def batch(subject: Subject) -> str | None:
    """The need of a batch API."""
    return None if subject.provider.batch is not None else "the provider has no batch API"


def simulated(subject: Subject) -> str | None:
    """The need of a server that can be asked: only the simulator is at hand."""
    return None if subject.provider.simulated else "not simulated: the check needs an exchange"


def forces(subject: Subject) -> str | None:
    """The need of a wire on which a tool can be forced."""
    rendered = subject.chat.render_request(samples.FORCED, subject.capabilities) if subject.capabilities.tools else None
    lost = rendered is None or any(note.field.startswith("tool_choice") for note in rendered.notes)
    return "a tool cannot be forced" if lost else None


def keyed(subject: Subject) -> str | None:
    """The need of a key that can be wrong."""
    return "the provider serves without a key" if subject.provider.auth.optional else None


def textual(subject: Subject) -> str | None:
    """The need of streams that are lines of text."""
    return None if subject.chat.stream_type.startswith("text/") or "json" in subject.chat.stream_type else "its streams are binary"


def catalogued(subject: Subject) -> str | None:
    """The need of a default model."""
    return None if subject.provider.default_model is not None else "the provider has no default model"


streams = able("streaming", "does not stream")
tools = able("tools", "takes no tools")
vision = able("vision", "takes no images")
