"""The provider classes: blocking calls, realtime and batch, over any provider that Headgate knows (OCT-20, OCT-35, CON-06)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec

from headgate.catalog.cards import Lane, day_of
from headgate.catalog.prices import price
from headgate.client import BatchClient, Target
from headgate.client.chat import prepare
from headgate.client.direct import Connection, Workspace, direct_target, read_workspace, seconds_of
from headgate.client.items import schema_format
from headgate.client.jobs import JobRow, batch_client, endpoint_of, job_rows, job_tag, stop_job
from headgate.client.lines import line_of, row_of
from headgate.compat.calls import ask, blocking
from headgate.compat.octobatch import registry
from headgate.compat.octobatch.errors import ProviderConfigError, ProviderError, octobatch_error
from headgate.compat.octobatch.types import BatchMetadata, BatchResult, BatchStatus, BatchStatusInfo, Config, Pricing, RealtimeResult
from headgate.config import Secret
from headgate.dialects.batch import TERMINAL, BatchDialect, BatchHandle, BatchRequestRow, BatchRows, BatchState
from headgate.dialects.batch_words import WORDS
from headgate.domain.request import Request, ResponseFormat, system_message, user_message
from headgate.domain.response import Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, HeadgateError
from headgate.serving.job_receipts import book_job, row_usage
from headgate.wire.json import JsonObject, decode, obj
from headgate.wire.ndjson import numbered_lines

T = TypeVar("T")
MAX_TOKENS = {"anthropic_messages": 4096}
"""The output limit of requests that name none, by wire, where the wire must have one (OCT-27, CON-07)."""
TIMEOUT = 120.0
"""Seconds for a whole call (OCT-24)."""
READ = 1 << 18


class LLMProvider:
    """One model of one provider.

    `config` is a pipeline's configuration. Of its `api` section count `model` (else the provider's default), `api_key` and `base_url`
    (else both are found as everywhere in Headgate; a `base_url` may be a private address), `max_tokens`, `temperature`, `system`,
    `timeout` seconds, and `models_file`, an Octobatch `models.yaml` whose prices go before the catalog's. The model's prices are read when
    the object is made. Raises `AuthenticationError` without a key, `ProviderConfigError` (a `ValueError`) for what cannot be.
    """

    PROVIDER_NAME: ClassVar[str] = ""

    load_model_registry = staticmethod(registry.load_model_registry)
    get_provider_models = staticmethod(registry.get_provider_models)
    get_provider_info = staticmethod(registry.get_provider_info)
    get_all_providers = staticmethod(registry.get_all_providers)
    get_default_pricing = staticmethod(registry.get_default_pricing)

    def __init__(self, config: Config) -> None:
        self.config = config
        self._api: JsonObject = dict(config.get("api") or {})
        try:
            self._workspace = self._read()
            self._target = self._aimed()
            self._timeout = seconds_of(self._api.get("timeout")) or TIMEOUT
        except HeadgateError as error:
            raise octobatch_error(error) from error
        self.model = self._target.model
        self._price = self._target.card.price_on(day_of(time.time())) if self._target.card is not None else None
        self.pricing: Pricing = registry.pricing_of(self._price)

    def generate_realtime(self, prompt: str, schema: JsonObject | None = None) -> RealtimeResult:
        """One answer. Raises `ProviderError` and its classes, also for an answer that was blocked (OCT-25)."""
        answered = self._run(lambda: ask(self._workspace, self._target, self._request(prompt, schema), self._timeout))
        response, usage = answered.response, answered.receipt.usage
        _check_finish(response)
        return {
            "content": response.text,
            "input_tokens": usage.input_total,
            "output_tokens": usage.output_total,
            "finish_reason": response.finish.value if response.finish is not None else "",
        }

    def format_batch_request(self, unit_id: str, prompt: str, schema: JsonObject | None = None) -> JsonObject:
        """The line of one unit, in the words of the provider's batch API. Raises `ProviderError`."""
        try:
            body = prepare(self._target, self._request(prompt, schema)).body
            return line_of(self._envelope.name, BatchRequestRow(unit_id, endpoint_of(self._target), body))
        except HeadgateError as error:
            raise octobatch_error(error) from error

    def upload_batch_file(self, file_path: str | Path) -> str:
        """Check the lines of a file and return its id: its own path. `create_batch` sends them, so the file must stay until then.

        Nothing lies at the provider for a batch that is never created. Raises `ProviderError` naming the first line that is no request.
        """
        path = Path(file_path).absolute()
        if not self._rows(path):
            raise ProviderError(f"{path} has no requests in it", kind=ErrorKind.BAD_REQUEST)
        return str(path)

    def create_batch(self, file_id: str) -> str:
        """Send the file of that id and return the id of the job. Each call makes a job of its own. Raises `ProviderError`."""
        rows = self._rows(Path(file_id))
        tag = job_tag(self._target, secrets.token_hex(16), endpoint_of(self._target))

        async def create() -> str:
            async with self._client() as client:
                return (await client.submit(tag, BatchRows(rows))).id

        return self._run(create)

    def get_batch_status(self, batch_id: str) -> BatchStatusInfo:
        """One look at a job. Raises `ProviderError`."""

        async def look() -> BatchState:
            async with self._client() as client:
                return await client.status(BatchHandle(batch_id))

        return _info(self._run(look))

    def download_batch_results(self, batch_id: str) -> tuple[list[BatchResult], BatchMetadata]:
        """Every row of a job that is over, also one that expired, failed or was cancelled, matched by unit id; receipts are written once.

        Raises `ProviderError` (transient) while the job is not over.
        """

        async def collect() -> tuple[BatchState, list[JobRow]]:
            async with self._client() as client:
                state = await client.status(BatchHandle(batch_id))
                if state.status not in TERMINAL or state.lagging:
                    raise ProviderError(f"batch {batch_id} is not over: {state.raw_status!r}", transient=True)
                rows = await job_rows(client, self._target, BatchHandle(batch_id), state)
            await book_job(self._workspace.settings, self._target, batch_id, rows, state.created_at or time.time())
            return state, rows

        state, rows = self._run(collect)
        total = [row_usage(row) for row in rows]
        metadata: BatchMetadata = {
            "total_input_tokens": sum(usage.input_total for usage in total),
            "total_output_tokens": sum(usage.output_total for usage in total),
            "started_at": _iso(state.created_at),
            "completed_at": None,
            "provider": self._target.provider.name,
            "model": self.model,
        }
        return [_result(row) for row in rows], metadata

    def cancel_batch(self, batch_id: str) -> bool:
        """Ask for a stop; False when the job was over. Raises `ProviderError`."""

        async def cancel() -> bool:
            async with self._client() as client:
                return await stop_job(client, BatchHandle(batch_id))

        return self._run(cancel)

    def estimate_cost(self, input_tokens: int, output_tokens: int, is_batch: bool = True) -> float:
        """Dollars for so many tokens. Raises `ProviderError` when the price is unknown: nothing is made up (OCT-17)."""
        lane: Lane = "batch" if is_batch else "realtime"
        cost = price(self._price, Usage(input_uncached=input_tokens, output_text=output_tokens), lane)
        if cost.usd is None:
            raise ProviderError(
                f"cost unknown: {self._target.name} has no {lane} price", kind=ErrorKind.UNSUPPORTED, hint="headgate models"
            )
        return float(cost.usd)

    def get_api_key_env_var(self) -> str:
        """The variable the key is looked for in first."""
        return self.get_provider_info(self._target.provider.name)["env_var"]

    def _read(self) -> Workspace:
        workspace = read_workspace()
        models = self._api.get("models_file")
        return (
            workspace
            if models is None
            else msgspec.structs.replace(workspace, catalog=registry.with_models_file(workspace.catalog, Path(models)))
        )

    def _aimed(self) -> Target:
        provider = self._workspace.provider(self.PROVIDER_NAME or str(self._api.get("provider") or ""))
        model = self._api.get("model") or self._workspace.default_model(provider)
        if model is None:
            raise ProviderConfigError(f"no model is named for {provider.name}, which has no default", hint="api: {model: …}")
        key, url = self._api.get("api_key"), self._api.get("base_url")
        names = {variable.name for variable in provider.variables}
        connection = Connection(
            api_key=Secret(str(key)) if key else None,
            base_url=str(url) if url else None,
            variables={name: str(value) for name, value in self._api.items() if name in names},
        )
        return direct_target(provider, str(model), connection, self._workspace)

    @property
    def _envelope(self) -> BatchDialect:
        found = self._target.provider.batch
        if found is None:
            raise ProviderError(f"{self._target.provider.label} has no batch API here", kind=ErrorKind.UNSUPPORTED)
        return found

    def _client(self) -> AbstractAsyncContextManager[BatchClient]:
        return batch_client(self._workspace.http(self._timeout), self._target)

    def _run(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        try:
            return blocking(work)
        except HeadgateError as error:
            raise octobatch_error(error) from error

    def _request(self, prompt: str, schema: JsonObject | None) -> Request:
        system = self._api.get("system")
        limit = self._api.get("max_tokens") or MAX_TOKENS.get(self._target.chat.name)
        return Request(
            model=self.model,
            messages=(*((system_message(str(system)),) if system else ()), user_message(prompt)),
            max_tokens=limit,
            temperature=self._api.get("temperature") if self._target.capabilities.sampling else None,
            response_format=self._format(schema),
        )

    def _format(self, schema: JsonObject | None) -> ResponseFormat | None:
        """The form to ask for; without native schemas the prompt's own words must do."""
        ability = self._target.capabilities.structured_output
        if schema is None or ability == "none":
            return None
        return ResponseFormat("json_object") if ability == "json_object" else schema_format(schema)

    def _rows(self, path: Path) -> tuple[BatchRequestRow, ...]:
        """The lines of a file. Raises `ProviderError`."""
        endpoint = endpoint_of(self._target)
        try:
            return tuple(
                row_of(obj(decode(line, what=f"line {number}", fault="local"), f"line {number}"), endpoint, f"{path}:{number}")
                for number, line in numbered_lines(_chunks(path))
            )
        except HeadgateError as error:
            raise octobatch_error(error) from error
        except OSError as error:
            raise ProviderError(f"the batch file cannot be read: {error}", kind=ErrorKind.BAD_REQUEST) from error


class GeminiProvider(LLMProvider):
    """Google Gemini."""

    PROVIDER_NAME = "gemini"


class OpenAIProvider(LLMProvider):
    """OpenAI."""

    PROVIDER_NAME = "openai"


class AnthropicProvider(LLMProvider):
    """Anthropic."""

    PROVIDER_NAME = "anthropic"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while data := stream.read(READ):
            yield data


def _check_finish(response: Response) -> None:
    """Raise for an answer that was blocked, or that broke off."""
    if response.finish is Finish.CONTENT_FILTER:
        raise ProviderError("the answer was blocked by the provider's content filter", kind=ErrorKind.CONTENT_FILTER)
    if response.finish is Finish.ERROR or not response.choices:
        raise ProviderError("the answer broke off", kind=ErrorKind.SERVER, transient=True)


def _info(state: BatchState) -> BatchStatusInfo:
    """A look at a job. One whose results are not there yet is still running."""
    done = None if state.succeeded is None and state.failed is None else (state.succeeded or 0) + (state.failed or 0)
    word = "RUNNING" if state.lagging else WORDS[state.status].octobatch
    error = next((str(found.get("message") or found) for found in state.errors), None)
    return {
        "status": BatchStatus[word],
        "progress": None if done is None or state.total is None else f"{done}/{state.total}",
        "error": error,
        "provider_status": state.raw_status,
        "created_at": _iso(state.created_at),
        "updated_at": None,
    }


def _result(row: JobRow) -> BatchResult:
    usage = row_usage(row)
    error = None if row.error is None else row.error.message
    if row.response is not None and row.response.finish is Finish.CONTENT_FILTER:
        error = "the answer was blocked by the provider's content filter"
    return {
        "unit_id": row.row.custom_id or "",
        "content": row.response.text if row.response is not None and error is None else None,
        "input_tokens": usage.input_total,
        "output_tokens": usage.output_total,
        "error": error,
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
