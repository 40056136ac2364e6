"""Batch calls to one provider: the flows of its batch dialect, driven with one credential."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from headgate.client.target import Target, concealed, key_hint
from headgate.dialects.batch import BatchBody, BatchDialect, BatchHandle, BatchState, BatchTag, Candidate, ResultFile
from headgate.errors import ErrorKind, ProviderError, Unsupported
from headgate.transport.drive import drive
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin
from headgate.wire.http import Call, Flow

T = TypeVar("T")


class BatchClient:
    """Submits, watches, collects and finds the jobs of one target. Downloads go to `folder`."""

    def __init__(self, http: HttpClient, target: Target, folder: Path) -> None:
        self._http = http
        self._target = target
        self._folder = folder

    @property
    def dialect(self) -> BatchDialect:
        """The provider's batch envelope. Raises `Unsupported` when it has none."""
        batch = self._target.provider.batch
        if batch is None:
            raise Unsupported(f"{self._target.provider.label} has no batch API here", param="mode", hint="use --mode realtime")
        return batch

    async def submit(self, tag: BatchTag, body: BatchBody) -> BatchHandle:
        """Create a job. Not idempotent: write the intent first."""
        return await self._drive(self.dialect.submit(tag, body))

    async def status(self, handle: BatchHandle) -> BatchState:
        """One look at a job."""
        return await self._drive(self.dialect.status(handle))

    async def results(self, handle: BatchHandle, state: BatchState) -> list[ResultFile]:
        """Every result file that exists."""
        return await self._drive(self.dialect.results(handle, state))

    async def cancel(self, handle: BatchHandle) -> bool:
        """Ask for a stop."""
        return await self._drive(self.dialect.cancel(handle))

    async def delete(self, handle: BatchHandle, state: BatchState) -> None:
        """Delete a job that is over, with its files. Raises `Unsupported` when this provider's cannot be."""
        if self.dialect.delete is None:
            raise Unsupported(
                f"batches of {self._target.provider.label} cannot be deleted from here: it deletes them by itself after a while"
            )
        await self._drive(self.dialect.delete(handle, state))

    async def find(self, tag: BatchTag, since: float) -> list[Candidate]:
        """Jobs made after `since` that may be ours."""
        return await self._drive(self.dialect.find(tag, since))

    async def _drive(self, flow: Flow[T]) -> T:
        target = await self._target.ready()

        def place(call: Call) -> tuple[Origin, Call]:
            return target.address(call), target.placed(call)

        try:
            return await drive(flow, self._http, target.origin, target.headers, self._folder, place)
        except ProviderError as error:
            concealed(target, error).provider = target.provider.name
            if error.kind is ErrorKind.AUTH:
                if target.credential.token is not None:
                    target.credential.token.refused(target.credential.key)
                error.hint = error.hint or key_hint(target)
            raise
