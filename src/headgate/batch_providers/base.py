"""The contract: what every batch provider offers, ours and those of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

from headgate.batch_providers.dto import PreparedSubmission, ProviderResultRow, ProviderStatus, ProviderSubmitResult
from headgate.batch_providers.enums import BatchMode
from headgate.wire.json import Json, JsonObject


class BaseBatchProvider(ABC):
    """Batch work at one provider. Subclasses name themselves in `PROVIDER_NAME`; `config` is the provider's own."""

    PROVIDER_NAME: ClassVar[str] = ""

    def __init__(self, config: Mapping[str, Json] | None = None) -> None:
        self.config: JsonObject = dict(config or {})

    @abstractmethod
    def supports_model(self, model: str) -> bool:
        """Whether batches of this model can be sent."""

    @abstractmethod
    def prepare_payloads(
        self,
        batch_id: UUID,
        model: str,
        mode: BatchMode,
        requests: Sequence[Mapping[str, Json]],
        config: Mapping[str, Json] | None = None,
    ) -> PreparedSubmission:
        """The requests as one submission. Raises `ValueError` for a mode or requests the provider cannot take."""

    @abstractmethod
    async def submit(self, prepared_submission: PreparedSubmission) -> ProviderSubmitResult:
        """Create the job. Raises `ProviderTransientError` or `ProviderPermanentError`, as all that follow do."""

    @abstractmethod
    async def poll_status(self, provider_batch_id: str) -> ProviderStatus:
        """One look at a job."""

    @abstractmethod
    async def fetch_results(self, provider_batch_id: str) -> list[ProviderResultRow]:
        """What became of every request of a job that is over, completed or not."""

    @abstractmethod
    async def cancel(self, provider_batch_id: str) -> bool:
        """Ask for a stop. False when the job was over already."""
