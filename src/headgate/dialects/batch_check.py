"""Local validation of a batch before anything is uploaded: what the provider would refuse hours later, with the line it is on.

Codes are those of OpenAI's validation errors, so that a batch refused here looks like one refused there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from headgate.dialects.batch import BatchBody, BatchRequestRow
from headgate.dialects.batch_facts import BatchFacts
from headgate.errors import UsageError
from headgate.wire.json import Json
from headgate.wire.ndjson import numbered_lines

MAX_PROBLEMS = 100
_SHOWN = 5


class Problem(msgspec.Struct, frozen=True):
    """What is wrong. `line` counts from 1; None means the file as a whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


class Report(msgspec.Struct):
    """What was read: rows, bytes, the models that are named, and the first `MAX_PROBLEMS` problems."""

    rows: int = 0
    bytes: int = 0
    models: set[str] = msgspec.field(default_factory=set)
    problems: list[Problem] = msgspec.field(default_factory=list)

    def note(self, code: str, message: str, line: int | None = None, param: str | None = None) -> None:
        """Keep a problem, unless there are enough; what is wrong with the file as a whole is always kept."""
        if line is None or len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(code, message, line, param))

    def must_be_clean(self, what: str = "the batch") -> None:
        """Raise `UsageError` naming the first problems, if there are any."""
        if not self.problems:
            return
        problems = sorted(self.problems, key=lambda problem: problem.line or 0)
        shown = "; ".join(map(str, problems[:_SHOWN]))
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UsageError(f"{what} would be refused: {shown}{more}", hint=_HINTS.get(problems[0].code))


_HINTS = {
    "too_many_tasks": "lower processing.chunk_size in the pipeline",
    "file_too_large": "lower processing.chunk_size in the pipeline",
    "too_few_tasks": "use --mode realtime, or more units in a chunk",
}


def check_rows(rows: BatchBody, facts: BatchFacts, size: Callable[[BatchRequestRow], int], endpoint: str = "") -> Report:
    """Rows as they are about to be written; `size` tells the bytes of a row's line, line feed included.

    Where the wire's rows name no endpoint, `endpoint` is "".
    """
    report = Report(rows=rows.count)
    seen: set[str] = set()
    for line, row in enumerate(rows, 1):
        if endpoint and row.endpoint != endpoint:
            report.note("mismatched_url", f"row {row.custom_id} asks for {row.endpoint}, the batch for {endpoint}", line, "url")
        if _custom_id(report, facts, row.custom_id, seen, line):
            length = size(row)
            report.bytes += length
            _row_size(report, facts, length, line)
    _whole(report, facts, endpoint)
    return report


class _Line(msgspec.Struct):
    custom_id: Json = None
    method: Json = "POST"
    url: Json = None
    body: Json = None


_decode_line = msgspec.json.Decoder(_Line).decode


def check_jsonl(chunks: Iterable[bytes], facts: BatchFacts, endpoint: str) -> Report:
    """A JSONL file of ``{custom_id, method, url, body}``, read once in bounded memory. Raises `TooLarge` for a line of 64 MB."""
    report = Report()
    seen: set[str] = set()
    for number, line in numbered_lines(_counted(chunks, report)):
        report.rows += 1
        try:
            row = _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            report.note("invalid_json_line", "this line is not one JSON object", number)
            continue
        _custom_id(report, facts, row.custom_id, seen, number)
        if row.method != "POST":
            report.note("invalid_method", "the method of every request must be POST", number, "method")
        if row.url is not None and row.url != endpoint:
            report.note("mismatched_url", f"the url {row.url!r} is not the endpoint of the batch, {endpoint}", number, "url")
        _body(report, row.body, number)
        _row_size(report, facts, len(line), number)
    _whole(report, facts, endpoint)
    return report


def _counted(chunks: Iterable[bytes], report: Report) -> Iterator[bytes]:
    for chunk in chunks:
        report.bytes += len(chunk)
        yield chunk


def _custom_id(report: Report, facts: BatchFacts, custom_id: Json, seen: set[str], line: int) -> bool:
    """Whether the id can be sent; it joins those that were seen."""
    if not isinstance(custom_id, str) or not custom_id:
        report.note("missing_required_parameter", "custom_id is missing", line, "custom_id")
        return False
    if custom_id in seen:
        report.note("duplicate_custom_id", f"custom id {custom_id!r} occurs twice", line, "custom_id")
    seen.add(custom_id)
    try:
        facts.ids.safe(custom_id)
    except UsageError as error:
        report.note("invalid_custom_id", error.message, line, "custom_id")
        return False
    return True


def _body(report: Report, body: Json, line: int) -> None:
    if not isinstance(body, dict):
        report.note("missing_required_parameter", "body is missing", line, "body")
        return
    model = body.get("model")
    if not isinstance(model, str) or not model:
        report.note("missing_required_parameter", "body.model is missing", line, "body.model")
        return
    if report.models and model not in report.models:
        report.note("mismatched_model", f"model {model!r} is not the batch's model: a batch has one", line, "body.model")
    report.models.add(model)


def _row_size(report: Report, facts: BatchFacts, size: int, line: int) -> None:
    limit = facts.limits.max_row_bytes
    if limit is not None and size > limit:
        report.note("row_too_large", f"the row has {size:,} bytes; {facts.label} takes {limit:,}", line)


def _whole(report: Report, facts: BatchFacts, endpoint: str) -> None:
    limits = facts.limits
    if endpoint and facts.endpoints and endpoint not in facts.endpoints:
        offered = ", ".join(facts.endpoints)
        report.note("invalid_endpoint", f"{facts.label} runs batches for {offered}, not for {endpoint}", None, "endpoint")
    if not report.rows:
        report.note("empty_file", "the batch has no rows")
    elif report.rows < limits.min_rows:
        report.note("too_few_tasks", f"{report.rows} rows: a batch of {facts.label} has at least {limits.min_rows}")
    if report.rows > limits.max_rows:
        report.note("too_many_tasks", f"{report.rows:,} rows are over the limits: {facts.label} takes {limits.max_rows:,} in a batch")
    if report.bytes > limits.max_bytes:
        report.note("file_too_large", f"{report.bytes:,} bytes are over the limits: {facts.label} takes {limits.max_bytes:,} in a batch")
