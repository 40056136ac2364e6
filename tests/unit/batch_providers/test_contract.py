"""The contract over every registered provider, against the simulator of its batch envelope."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from headgate.batch_providers import (
    BaseBatchProvider,
    BatchMode,
    BatchStatus,
    PreparedSubmission,
    ProviderPermanentError,
    ProviderResultRow,
    ProviderStatus,
    ProviderSubmitResult,
    UsageInfo,
    batch_provider_registry,
)
from headgate.batch_providers.catalogue import class_of, names
from headgate.batch_providers.envelope import EnvelopeBatchProvider
from headgate.catalog.load import load_catalog
from headgate.providers import PROVIDERS, Provider
from headgate.sim.server import Simulator
from headgate.testing.batch_contract import BatchCheck, Subject, contract_checks
from headgate.testing.conformance.case import Nonconforming
from headgate.testing.simulators import END_OF_BATCH


def stand_in(provider: Provider) -> Provider | None:
    """The simulated provider with the same batch envelope."""
    assert provider.batch is not None
    wanted = provider.batch.name
    return next((other for other in PROVIDERS.values() if other.simulated and other.batch and other.batch.name == wanted), None)


def a_model(provider: Provider) -> str:
    """A model of the provider that takes batches, or any where the catalog lists none."""
    entry = load_catalog().providers.get(provider.name)
    cards = entry.models if entry is not None else ()
    return next(
        (card.id for card in cards if card.capabilities.batch and card.kind == "chat" and card.status == "active"),
        provider.default_model or "a-model",
    )


def subject(name: str, sim: Simulator | None = None) -> Subject:
    """The class of a provider, its jobs at the simulator where that speaks its envelope."""
    provider, cls = PROVIDERS[name], class_of(name)
    other = stand_in(provider)
    here = other is not None and sim is not None
    config = {
        "api_key": other.auth.default if other is not None else "key",
        "base_url": f"{sim.url}{other.base_path}" if other is not None and sim is not None else "http://127.0.0.1:9",
        "hosts": {key: f"{sim.url}{path}" for key, path in (other.hosts if other is not None else ())} if sim is not None else {},
        **{variable.name: variable.default or "a-name" for variable in (other or provider).variables},
    }
    return Subject(
        provider_class=cls,
        make=lambda: cls(config),
        model=a_model(provider),
        finish=(lambda: sim.advance(END_OF_BATCH)) if here and sim is not None else None,
        refused=(lambda: cls({**config, "api_key": "not-a-simulator-key-7f3a"})) if here else None,
        requests=max(3, provider.batch.limits.min_rows if provider.batch else 3),
    )


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("check", [str(check).partition("-")[2] for check in contract_checks(subject("openai"))])
def test_every_provider_keeps_the_contract(name: str, check: str) -> None:
    next(found for found in contract_checks(subject(name)) if found.name == check).run()


@pytest.mark.parametrize("name", [name for name in names() if stand_in(PROVIDERS[name]) is not None])
@pytest.mark.parametrize("check", ["life-cycle", "cancelled", "unknown-job", "key-refused"])
def test_every_provider_with_a_simulated_wire_lives_by_it(name: str, check: str, sim: Simulator) -> None:
    next(found for found in contract_checks(subject(name, sim)) if found.name == check).run()


def test_every_provider_with_a_batch_envelope_is_registered() -> None:
    assert set(batch_provider_registry.list()) == {name for name, provider in PROVIDERS.items() if provider.batch is not None}


class Memory(BaseBatchProvider):
    """A third party's class that has nothing of ours but the contract: jobs live in memory."""

    PROVIDER_NAME = "memory"
    jobs: ClassVar[dict[str, list[dict[str, object]]]] = {}
    ended: ClassVar[dict[str, BatchStatus]] = {}

    def supports_model(self, model: str) -> bool:
        """One model is."""
        return model == "one"

    def prepare_payloads(self, batch_id, model, mode, requests, config=None):
        """Chat only."""
        if mode != BatchMode.CHAT or not requests:
            raise ValueError("chat only, and at least one request")
        payloads = [{"id": f"request_{number}", **request} for number, request in enumerate(requests)]
        return PreparedSubmission(batch_id=batch_id, provider_name=self.PROVIDER_NAME, model=model, mode=mode, payloads=payloads)

    async def submit(self, prepared_submission):
        """Keep it."""
        job = f"job-{len(self.jobs)}-0000"
        self.jobs[job] = prepared_submission.payloads
        return ProviderSubmitResult(
            provider_batch_id=job, status=BatchStatus.QUEUED, raw_status="waiting", submitted_at=datetime(2026, 11, 21, tzinfo=UTC)
        )

    async def poll_status(self, provider_batch_id):
        """Done once it has been ended."""
        if provider_batch_id not in self.jobs:
            raise ProviderPermanentError("no such job", self.PROVIDER_NAME, provider_batch_id)
        status = self.ended.get(provider_batch_id, BatchStatus.QUEUED)
        return ProviderStatus(provider_batch_id=provider_batch_id, status=status, raw_status=status.value)

    async def fetch_results(self, provider_batch_id):
        """The same answer to everything."""
        usage = UsageInfo(prompt_tokens=1, completion_tokens=2, total_tokens=3)
        return [
            ProviderResultRow(request_id=payload["id"], status="success", response={"text": "Blue."}, usage=usage)
            for payload in self.jobs[provider_batch_id]
        ]

    async def cancel(self, provider_batch_id):
        """End it."""
        return self.ended.setdefault(provider_batch_id, BatchStatus.CANCELLED) is BatchStatus.CANCELLED

    @classmethod
    def finish(cls) -> None:
        """End every job."""
        for job in cls.jobs:
            cls.ended.setdefault(job, BatchStatus.COMPLETED)


@pytest.mark.parametrize("check", contract_checks(Subject(provider_class=Memory, make=Memory, model="one", finish=Memory.finish)), ids=str)
def test_a_third_partys_class_can_be_held_to_the_contract(check: BatchCheck) -> None:
    check.run()


class Lazy(EnvelopeBatchProvider):
    """A third party's class with faults to be found."""

    PROVIDER_NAME = "openai"

    def supports_model(self, model: str) -> bool:
        """Everything is."""
        return True


class Nameless(EnvelopeBatchProvider):
    """A class that forgot its name."""


@pytest.mark.parametrize(("cls", "check"), [(Lazy, "models"), (Nameless, "registers")])
def test_the_contract_finds_faults(cls: type[BaseBatchProvider], check: str) -> None:
    broken = Subject(provider_class=cls, make=cls, model="gpt-4o-mini")
    with pytest.raises((Nonconforming, ValueError)):
        next(found for found in contract_checks(broken) if found.name == check).run()


def test_a_check_can_be_named() -> None:
    check = contract_checks(subject("openai"))[0]
    assert isinstance(check, BatchCheck)
    assert str(check) == "openai-registers"
    assert BatchStatus.COMPLETED.is_terminal and not BatchStatus.UNKNOWN.is_terminal
