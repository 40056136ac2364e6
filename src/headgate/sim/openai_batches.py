"""OpenAI's batch API: a file of requests in, a file of answers and a file of errors out (recorded traffic; OpenAI API reference).

Those who copied it differ by their `Rules` (Groq, Azure and Together API references).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from headgate.errors import WireError
from headgate.sim import batches, openai_files, tokens
from headgate.sim.batch_rules import Rules
from headgate.sim.bill import BATCH
from headgate.sim.dice import HEX
from headgate.sim.exchange import Answer, Problem, answer_json, need_object, whole
from headgate.sim.faults import BatchEnd
from headgate.sim.models import is_unknown
from headgate.sim.openai_wire import ERRORS, Done, completion, error_body, execute, parse_chat
from headgate.sim.state import BatchRecord
from headgate.sim.world import Call, Moment, World
from headgate.wire.json import Json, JsonObject, decode, encode

ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/moderations")
MAX_ERRORS = 100
MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
_STATUS = {"running": "in_progress"}
_LEFT_OVER = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request could not be executed because the batch was cancelled."),
}
_NO_USAGE: JsonObject = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


Answered: TypeAlias = tuple[Done, JsonObject]


def run(call: Call, body: JsonObject) -> Answered:
    """Answer one row."""
    done = execute(call, parse_chat(body), use_cache=False)
    return done, completion(done)


OPENAI = Rules(
    provider="openai",
    run=run,
    error_body=error_body,
    statuses={name: row[0] for name, row in ERRORS.items()},
    endpoints=ENDPOINTS,
)


def create(rules: Rules, call: Call) -> Answer:
    """``POST /v1/batches``; the input is checked later, while the batch is ``validating``."""
    return answer_json(document(call.world, accept(rules, call, call.world.new_id("batch_", 32, HEX))))


def accept(rules: Rules, call: Call, key: str) -> BatchRecord:
    """The new batch that a request asks for. Raises `Problem`."""
    body = call.json()
    endpoint = _required(body, "endpoint")
    if endpoint not in rules.endpoints:
        raise Problem("bad_request", f"Invalid value: '{endpoint}'.", code="invalid_value", param="endpoint")
    window = rules.window(_required(body, "completion_window"))
    input_file = _required(body, "input_file_id")
    record = call.world.files.get(input_file, call.provider, call.account)
    if record is None or record.purpose != rules.purpose:
        raise Problem("bad_request", f"Invalid input_file_id: no batch file {input_file}.", code="invalid_value", param="input_file_id")
    metadata = _metadata(body.get("metadata"))
    data = call.world.files.blob(input_file)
    check = Check(call.world, endpoint, rules)
    rows = check.read(data)
    errors = check.errors or _over_the_queue(call, check) or scripted_failure(call)
    batch = BatchRecord(
        id=key,
        provider=call.provider,
        account=call.account,
        serial=call.world.next_serial(),
        created_at=call.now,
        model=check.model,
        rows=rows,
        options={
            "endpoint": endpoint,
            "input_file_id": input_file,
            "completion_window": body["completion_window"],
            "metadata": metadata,
            "tokens": check.tokens,
            "bytes": len(data),
            **window,
        },
        errors=errors[:MAX_ERRORS],
        script=call.script,
    )
    call.world.batches.put(batch, data)
    call.world.keeper.note_time(call.now)
    call.entry.rows, call.entry.batch_id, call.entry.tag, call.entry.model = rows, batch.id, metadata, check.model
    return batch


def _required(body: JsonObject, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Problem("bad_request", f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    return value


def _metadata(value: Json) -> JsonObject | None:
    if value is None:
        return None
    pairs = need_object(value, "metadata")
    if len(pairs) > MAX_PAIRS:
        raise Problem(
            "bad_request", f"Invalid 'metadata': at most {MAX_PAIRS} pairs.", code="object_above_max_properties", param="metadata"
        )
    for key, item in pairs.items():
        if len(key) > MAX_KEY or not isinstance(item, str) or len(item) > MAX_VALUE:
            raise Problem("bad_request", f"Invalid 'metadata.{key}'.", code="string_above_max_length", param=f"metadata.{key}")
    return pairs


class Check:
    """Validation of an input file, line by line; collects OpenAI's error entries."""

    def __init__(self, world: World, endpoint: str, rules: Rules) -> None:
        self.errors: list[JsonObject] = []
        self.model = ""
        self.tokens = 0
        self._max_rows = rules.max_rows(world)
        self._endpoint = endpoint
        self._bare = rules.bare
        self._seen: set[str] = set()

    def read(self, data: bytes) -> int:
        """Check a whole file; returns its number of rows."""
        lines = list(numbered(data))
        if not lines:
            self._note("empty_file", "The batch input file is empty. Please ensure your batch has at least one request.", None)
        if len(lines) > self._max_rows:
            self._note("too_many_tasks", f"The batch input file has more than {self._max_rows} requests.", None)
            return len(lines)
        for number, line in lines:
            self._line(number, line)
        return len(lines)

    def _line(self, number: int, line: bytes) -> None:
        try:
            row = decode(line)
        except WireError:
            row = None
        if not isinstance(row, dict):
            self._note("invalid_json_line", "This line is not parseable as valid JSON.", number)
            return
        custom_id, body = row.get("custom_id"), row.get("body")
        if not isinstance(custom_id, str) or not custom_id:
            self._note("missing_required_parameter", "Missing required parameter: 'custom_id'.", number, "custom_id")
        elif custom_id in self._seen:
            self._note("duplicate_custom_id", f"The custom_id '{custom_id}' is a duplicate of another request.", number, "custom_id")
        else:
            self._seen.add(custom_id)
        if not self._bare:
            self._address(number, row)
        if not isinstance(body, dict):
            self._note("missing_required_parameter", "Missing required parameter: 'body'.", number, "body")
            return
        self.tokens += tokens.count(line.decode("utf-8", "replace"))
        self._body(number, body)

    def _address(self, number: int, row: JsonObject) -> None:
        if row.get("method") != "POST":
            self._note("invalid_method", "The method of each request must be POST.", number, "method")
        if row.get("url") != self._endpoint:
            self._note("mismatched_url", "The URL provided for this request does not match the batch endpoint.", number, "url")

    def _body(self, number: int, body: JsonObject) -> None:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            self._note("missing_required_parameter", "Missing required parameter: 'body.model'.", number, "body.model")
        elif is_unknown(model):
            self._note("model_not_found", f"The provided model '{model}' is not supported by the Batch API.", number, "body.model")
        elif self.model and model != self.model:
            self._note("mismatched_model", f"The provided model '{model}' does not match the batch's model.", number, "body.model")
        else:
            self.model = model

    def _note(self, code: str, message: str, line: int | None, param: str | None = None) -> None:
        self.errors.append({"code": code, "line": line, "message": message, "param": param})


def numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank with their numbers from 1; only a line feed ends a line."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, line


def _over_the_queue(call: Call, check: Check) -> list[JsonObject]:
    """The enqueued-token limit, as OpenAI reports it: the batch fails at validation."""
    limit = call.world.settings.limits.enqueued_tokens
    if limit is None:
        return []
    active = [batch for batch in call.world.batches.of(call.provider, call.account) if batches.look(call.world, batch).ended_at is None]
    if check.tokens + sum(batch.options["tokens"] for batch in active if batch.model == check.model) <= limit:
        return []
    message = (
        f"Enqueued token limit reached for {check.model} in organization org-sim. Limit: {limit} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    return [{"code": "token_limit_exceeded", "line": None, "message": message, "param": None}]


def scripted_failure(call: Call) -> list[JsonObject]:
    """The validation error of a batch whose script says that it fails."""
    return [
        {"code": action.code, "line": 1, "message": "The batch failed at validation.", "param": None}
        for action in call.script
        if isinstance(action, BatchEnd) and action.end == "failed"
    ]


def document(world: World, batch: BatchRecord) -> JsonObject:
    """A batch object as it stands now."""
    at = batches.look(world, batch)
    deadline = batches.deadline(batch, world.settings.timings)
    output, error = file_ids(batch, at)
    validated = at.running_at is not None and not batch.errors
    times = {
        "in_progress_at": at.running_at,
        "expires_at": None if deadline == math.inf else deadline,
        "finalizing_at": at.finalizing_at,
        "completed_at": at.ended_at if at.phase == "completed" else None,
        "failed_at": at.ended_at if at.phase == "failed" else None,
        "expired_at": at.ended_at if at.phase == "expired" else None,
        "cancelling_at": at.cancelling_at,
        "cancelled_at": at.ended_at if at.phase == "cancelled" else None,
    }
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.options["endpoint"],
        "model": batch.model if validated else None,
        "errors": {"object": "list", "data": batch.errors} if at.phase == "failed" else None,
        "input_file_id": batch.options["input_file_id"],
        "completion_window": batch.options.get("completion_window", "24h"),
        "status": _STATUS.get(at.phase, at.phase),
        "output_file_id": output,
        "error_file_id": error,
        "created_at": int(batch.created_at),
        **{name: None if value is None else int(value) for name, value in times.items()},
        "request_counts": _counts(batch, at, validated),
        "usage": batch.usage or _NO_USAGE,
        "metadata": batch.options["metadata"],
    }


def _counts(batch: BatchRecord, at: Moment, validated: bool) -> JsonObject:
    if not validated:
        return {"total": 0, "completed": 0, "failed": 0}
    if batch.settled:
        return {"total": batch.rows, "completed": batch.counts.completed, "failed": batch.counts.failed}
    return {"total": batch.rows, "completed": at.done, "failed": 0}


def file_ids(batch: BatchRecord, at: Moment) -> tuple[str | None, str | None]:
    """Output and error file, unless the script holds them back for some more reads."""
    if at.ended_at is None:
        return None, None
    end = batches.scripted_end(batch)
    if end is not None and end.end == "output_lag" and batch.polls_after_end < end.polls:
        return None, None
    error = batch.result.get("error")
    if error is None and end is not None and end.end == "empty_error_file_id":
        error = ""
    return batch.result.get("output"), error


def find(call: Call) -> BatchRecord:
    """The batch named by the path, or 404."""
    key = call.params["batch"]
    batch = call.world.batches.get(key, call.provider, call.account)
    if batch is None:
        raise Problem("not_found", f"No batch found with id '{key}'.")
    call.entry.batch_id = key
    return batch


def get(call: Call) -> Answer:
    """``GET /v1/batches/{batch}``."""
    batch = find(call)
    answer = answer_json(document(call.world, batch))
    if batch.settled:
        batch.polls_after_end += 1
        call.world.batches.put(batch)
    return answer


def cancel(call: Call) -> Answer:
    """``POST /v1/batches/{batch}/cancel``."""
    batch = find(call)
    if not batches.cancel(call.world, batch):
        status = document(call.world, batch)["status"]
        raise Problem("conflict", f"Cannot cancel a batch with status '{status}'.")
    return answer_json(document(call.world, batch))


def listing(call: Call) -> Answer:
    """``GET /v1/batches``, newest first, with ``limit`` and ``after``."""
    query = call.request.query
    limit = whole(query.get("limit"), 20, 1, 100, "limit")
    found, more = batches.page(batches.newest_first(call.world, call.provider, call.account), limit, query.get("after"))
    data = [document(call.world, batch) for batch in found]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return answer_json({"object": "list", "data": data, **ends, "has_more": more})


class _Results(msgspec.Struct):
    """Lines of the two files under construction."""

    output: list[bytes] = []
    errors: list[bytes] = []
    succeeded: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


def settle(rules: Rules, world: World, batch: BatchRecord, at: Moment) -> None:
    """Execute the rows of a batch that has ended, bill them, and write its files."""
    if at.phase == "failed":
        return
    rows = [decode(line) for _, line in numbered(world.batches.blob(batch.id))]
    executed, left = batches.split(world, batch, at.done)
    results = _Results()
    for index in executed:
        _execute_row(rules, world, batch, rows[index], results)
    for index in left:
        code, message = _LEFT_OVER[at.phase]
        results.errors.append(_left_over(world, rows[index]["custom_id"], code, message))
    batch.counts.completed, batch.counts.failed = results.succeeded, len(results.errors)
    batch.usage = {
        "input_tokens": results.input_tokens,
        "output_tokens": results.output_tokens,
        "total_tokens": results.input_tokens + results.output_tokens,
        "input_tokens_details": {"cached_tokens": results.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": results.reasoning_tokens},
    }
    ended = at.ended_at or world.clock.now()
    for kind, lines in (("output", results.output), ("error", results.errors)):
        if lines:
            name, data = f"{batch.id}_{kind}.jsonl", b"\n".join(lines) + b"\n"
            batch.result[kind] = openai_files.store(world, batch.provider, batch.account, name, "batch_output", data, ended).id


def _execute_row(rules: Rules, world: World, batch: BatchRecord, row: JsonObject, results: _Results) -> None:
    custom_id = row["custom_id"]
    fate = batches.fate(world, batch, custom_id)
    if fate.kind == "expired":
        results.errors.append(_left_over(world, custom_id, *_LEFT_OVER["expired"]))
        return
    request_id = world.new_id("", 32, HEX)
    try:
        if fate.kind == "error":
            raise Problem(fate.error)
        call = batches.row_call(world, batch, fate.twist, request_id)
        done, answer = rules.run(call, row["body"])
    except Problem as problem:
        status = problem.status or rules.statuses[problem.name]
        results.errors.append(_line(world, custom_id, status, request_id, rules.error_body(problem)))
        return
    if fate.billed:
        world.bill.add(
            batch.provider,
            batch.account,
            done.model,
            done.tokens,
            request_id=request_id,
            response_id=done.id,
            lane=BATCH,
            batch_id=batch.id,
            custom_id=custom_id,
        )
    results.succeeded += 1
    _add_usage(results, done)
    line = _line(world, custom_id, 200, request_id, answer)
    results.output.extend(batches.spoilt(world, line, fate.kind, custom_id))


def _add_usage(results: _Results, done: Done) -> None:
    spent = done.tokens
    results.input_tokens += done.prompt
    results.cached_tokens += done.cached
    results.output_tokens += spent.output + spent.reasoning
    results.reasoning_tokens += spent.reasoning


def _line(world: World, custom_id: str, status: int, request_id: str, body: JsonObject) -> bytes:
    response = {"status_code": status, "request_id": request_id, "body": body}
    return encode({"id": world.new_id("batch_req_", 32, HEX), "custom_id": custom_id, "response": response, "error": None})


def _left_over(world: World, custom_id: str, code: str, message: str) -> bytes:
    row = {"id": world.new_id("batch_req_", 32, HEX), "custom_id": custom_id, "response": None, "error": {"code": code, "message": message}}
    return encode(row)
