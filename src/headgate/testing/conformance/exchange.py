"""Whole exchanges with the simulator: answers, streams, tools, structured output, failures. For simulated providers only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from headgate.client import ChatClient, Target
from headgate.domain.content import ToolCall, ToolResult
from headgate.domain.request import Message, Request
from headgate.domain.response import Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated
from headgate.sim.bill import Tokens
from headgate.sim.faults import Action, CutStream, Garbage, Reset, Status, StreamError, Truncate, Twist
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing import samples
from headgate.testing.conformance.case import (
    Check,
    Entry,
    Subject,
    expect,
    expect_equal,
    fail,
    forces,
    keyed,
    simulated,
    stops,
    streams,
    structured,
    tools,
    vision,
)
from headgate.testing.essence import without_ids
from headgate.testing.simulators import fault, running_simulator, simulated_target, wait_for, with_chat
from headgate.wire.json import Json, decode

Ask = Callable[[ChatClient, Target], Awaitable[object]]


async def _whole(chat: ChatClient, target: Target) -> object:
    return await chat.complete(target, samples.PLAIN)


async def _streamed(chat: ChatClient, target: Target) -> object:
    async with chat.stream(target, samples.PLAIN) as session:
        return [event async for event in session]


def target_of(subject: Subject, simulator: Simulator, model: str | None = None, key: str | None = None) -> Target:
    """The default model (or another) at the simulator, asked in the wire under test."""
    target = simulated_target(subject.provider, simulator, model, key)
    return msgspec.structs.replace(target, surface=subject.surface)


def _complete(subject: Subject) -> None:
    """An answer comes whole, named, finished and counted; what we count is what the provider bills."""
    with running_simulator() as simulator:
        target = target_of(subject, simulator)
        exchange = with_chat(lambda chat: chat.complete(target, samples.PLAIN, request_id="our-id"))
        response = exchange.response
        expect(bool(response.text), "the answer has no text")
        expect(bool(response.id) or not _has_ids(subject), "the answer has no id")
        expect_equal(response.finish, Finish.STOP, "finish")
        _expect_billed(simulator, response.usage)
        (entry,) = simulator.requests
        expect(entry.request_id is None or exchange.upstream_id in (entry.request_id, None), "the provider's request id is another one")


def _has_ids(subject: Subject) -> bool:
    """Whether answers have an id on this wire."""
    return bool(subject.chat.parse_response(subject.chat.render_response(samples.ANSWERS["text"])).id)


def _expect_billed(simulator: Simulator, usage: Usage | None) -> None:
    (line,) = simulator.bill.lines
    if usage is None:
        fail("the answer has no usage")
    expect_equal((usage.input_total, usage.cached, usage.output_total), _totals(line.usage), "input, cached and output tokens")
    expect_equal(usage.source, "provider", "who counted")


def _totals(billed: Tokens) -> tuple[int, int, int]:
    written = billed.cache_write_5m + billed.cache_write_1h
    return billed.input + billed.cache_read + written, billed.cache_read, billed.output + billed.reasoning


def _stream_equals_complete(name: str, subject: Subject) -> None:
    """The stream of an answer folds to the answer asked for at once, usage included."""
    request = samples.REQUESTS[name]
    with running_simulator() as simulator:
        target = target_of(subject, simulator)

        async def both(chat: ChatClient) -> tuple[object, object, bool]:
            whole = await chat.complete(target, request)
            async with chat.stream(target, request) as session:
                events = [event async for event in session]
            expect(bool(events), "the stream has no events")
            folded = session.fold.response()
            return _counted(whole.response, folded), _counted(folded, whole.response), session.complete

        whole, folded, complete = with_chat(both)
        expect(complete, "the stream does not count as complete")
        expect_equal(folded, whole, "the folded stream beside the whole answer")


def _counted(one: Response, other: Response) -> Json:
    """An answer without ids, and without usage where a server counts a prompt only once: then one of the two was estimated."""
    counted = all(answer.usage is not None and answer.usage.source == "provider" for answer in (one, other))
    return without_ids(one if counted or one.usage == other.usage else msgspec.structs.replace(one, usage=None))


def _tool_loop(subject: Subject) -> None:
    """A forced tool is called with arguments that are JSON; its result can be sent back."""
    with running_simulator() as simulator:
        target = target_of(subject, simulator)

        async def loop(chat: ChatClient) -> None:
            first = (await chat.complete(target, samples.FORCED)).response
            expect_equal(first.finish, Finish.TOOL_CALLS, "finish")
            expect_equal([call.name for call in first.tool_calls], ["get_weather"], "tools called")
            expect(bool(first.tool_calls[0].id), "the call has no id")
            expect(isinstance(decode(first.tool_calls[0].arguments), dict), "the arguments are no JSON object")
            second = (await chat.complete(target, _answered(samples.TOOLS, Message("assistant", first.choices[0].content)))).response
            expect_equal(second.finish, Finish.STOP, "finish after the result")
            expect(bool(second.text), "there is no text after the result")

        with_chat(loop)


def _answered(request: Request, turn: Message) -> Request:
    calls = (block for block in turn.content if isinstance(block, ToolCall))
    results = tuple(ToolResult(call.id, samples.RESULTS[0].content, call.name) for call in calls)
    return msgspec.structs.replace(request, messages=(*request.messages, turn, Message("tool", results)))


def _structured(subject: Subject) -> None:
    """An answer in a schema is JSON of that schema, and ends like any other answer."""
    with running_simulator() as simulator:
        target = target_of(subject, simulator)
        response = with_chat(lambda chat: chat.complete(target, samples.STRUCTURED)).response
        expect_equal(decode(response.text), {"city": "Oslo", "degrees": 7}, "the structured answer")
        expect_equal(response.finish, Finish.STOP, "finish")


def _accepted(name: str, subject: Subject) -> None:
    """The provider takes a request as it is rendered."""
    with running_simulator() as simulator:
        target = target_of(subject, simulator)
        response = with_chat(lambda chat: chat.complete(target, samples.REQUESTS[name])).response
        expect(bool(response.choices), "there is no answer")


def _cut_short(subject: Subject) -> None:
    """An answer that meets the output limit says so."""
    with running_simulator() as simulator:
        target = target_of(subject, simulator)
        short = msgspec.structs.replace(samples.PLAIN, max_tokens=16)
        response = with_chat(lambda chat: chat.complete(target, short)).response
        expect_equal(response.finish, Finish.LENGTH, "finish")


def _empty(subject: Subject) -> None:
    """An answer without content is an answer, not an error."""
    with running_simulator() as simulator:
        simulator.set_faults(fault("chat", Twist("empty")))
        target = target_of(subject, simulator)
        response = with_chat(lambda chat: chat.complete(target, samples.PLAIN)).response
        expect_equal((response.text, response.tool_calls), ("", ()), "the empty answer")


def _error(action: Action, kinds: frozenset[ErrorKind], ask: Ask, operation: str, subject: Subject) -> None:
    """A refusal is classified, names the provider, and carries the wait and the status."""
    with running_simulator() as simulator:
        simulator.set_faults(fault(operation, action))
        error = _failure(subject, simulator, ask)
        known = kinds | _GENERAL.get(error.status or 0, frozenset())
        expect(error.kind in known, f"{action} became {error.kind}, not {' or '.join(sorted(kinds))}")
        expect_equal(error.provider, subject.provider.name, "the provider named by the error")
        if isinstance(action, Status) and action.retry_after is not None:
            expect_equal(error.retry_after, action.retry_after, "retry_after")
        expect_equal(len(simulator.bill), 0, "bill lines")


def _failure(subject: Subject, simulator: Simulator, ask: Ask, **target: str) -> ProviderError:
    aimed = target_of(subject, simulator, **target)

    async def attempt(chat: ChatClient) -> ProviderError:
        try:
            await ask(chat, aimed)
        except ProviderError as error:
            return error
        fail("the call did not fail")

    return with_chat(attempt)


def _unknown_model(subject: Subject) -> None:
    with running_simulator() as simulator:
        error = _failure(subject, simulator, _whole, model="unknown-model")
        expect(error.kind in (ErrorKind.NOT_FOUND, *_GENERAL.get(error.status or 0, ())), f"kind {error.kind}")


def _wrong_key(subject: Subject) -> None:
    """A refused key says which variable it came from, and never shows the key."""
    secret = "not-a-simulator-key-7f3a"
    with running_simulator() as simulator:
        error = _failure(subject, simulator, _whole, key=secret)
        plain = _GENERAL.get(error.status or 0, frozenset())
        expect(error.kind in (ErrorKind.AUTH, *plain), f"kind {error.kind}")
        named = error.hint is not None and subject.provider.auth.env[0] in error.hint
        expect(named or error.kind in plain, f"the hint names no variable: {error.hint!r}")
        for text in (error.message, error.hint or "", repr(error)):
            expect(secret not in text, "the error shows the key")


def _html(subject: Subject) -> None:
    """A page of HTML under status 200 is an upstream failure that may pass."""
    with running_simulator() as simulator:
        simulator.set_faults(fault("chat", Garbage()))
        error = _failure(subject, simulator, _whole)
        expect_equal((error.kind, error.code), (ErrorKind.SERVER, "upstream_bad_content"), "kind and code")


def _truncated(action: Action, ask: Ask, operation: str, subject: Subject) -> None:
    """Half an answer is no answer."""
    with running_simulator() as simulator:
        simulator.set_faults(fault(operation, action))
        target = target_of(subject, simulator)

        async def attempt(chat: ChatClient) -> None:
            try:
                await ask(chat, target)
            except Truncated:
                return
            except ProviderError as error:
                expect_equal(error.kind, ErrorKind.CONNECTION, "kind")
                return
            fail("half an answer was taken for a whole one")

        with_chat(attempt)


def _error_in_stream(subject: Subject) -> None:
    """An error after some events fails the stream; what came before is kept."""
    said = [_broken_off(subject, events) for events in (4, 5)]
    expect(any(said), "what came before the error was lost")


def _broken_off(subject: Subject, events: int) -> bool:
    """Whether any text came before an error in the place of the event after so many. A short stream may be over before."""
    with running_simulator() as simulator:
        simulator.set_faults(fault("stream", StreamError(events=events, error="overloaded")))
        target = target_of(subject, simulator)

        async def attempt(chat: ChatClient) -> bool:
            async with chat.stream(target, samples.PLAIN) as session:
                seen = [event async for event in session]
            error = session.fold.error
            if error is None:
                expect(events > 4 and session.complete, f"the error inside the stream was lost: {seen[-1]}")
                return False
            expect(error.error.transient, f"an overloaded upstream became {error.error.kind}")
            expect_equal(error.error.provider, subject.provider.name, "the provider named by the error")
            expect(not session.complete, "the stream counts as complete")
            return bool(session.fold.response().text)

        return with_chat(attempt)


def _leaving_early(subject: Subject) -> None:
    """Leaving a stream closes the connection at once: the provider sees its client gone."""
    with running_simulator(SimSettings(seed=7, event_gap=0.05)) as simulator:
        target = target_of(subject, simulator)

        async def leave(chat: ChatClient) -> bool:
            async with chat.stream(target, samples.PLAIN) as session:
                async for _ in session:
                    break
            return session.complete

        expect_equal(with_chat(leave), False, "complete")
        (entry,) = simulator.requests
        expect(wait_for(lambda: entry.client_gone is not None), "the provider was left streaming")


_REFUSALS: tuple[tuple[str, Action, frozenset[ErrorKind]], ...] = (
    ("auth", Status("auth"), frozenset({ErrorKind.AUTH})),
    ("permission", Status("permission"), frozenset({ErrorKind.PERMISSION})),
    ("not-found", Status("not_found"), frozenset({ErrorKind.NOT_FOUND})),
    ("rate-limit", Status("rate_limit", retry_after=7.0), frozenset({ErrorKind.RATE_LIMIT})),
    ("server", Status("server"), frozenset({ErrorKind.SERVER})),
    ("overloaded", Status("overloaded"), frozenset({ErrorKind.OVERLOADED, ErrorKind.SERVER})),
    ("timeout", Status("timeout"), frozenset({ErrorKind.TIMEOUT, ErrorKind.SERVER})),
    ("bad-request", Status("bad_request"), frozenset({ErrorKind.BAD_REQUEST})),
    ("context-length", Status("context_length"), frozenset({ErrorKind.CONTEXT_LENGTH, ErrorKind.BAD_REQUEST})),
    ("too-large", Status("too_large"), frozenset({ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH})),
    ("quota", Status("quota"), frozenset({ErrorKind.QUOTA, ErrorKind.BAD_REQUEST, ErrorKind.RATE_LIMIT})),
    ("reset", Reset(), frozenset({ErrorKind.CONNECTION})),
)
"""Scripted refusals and the kinds they may become; where a wire has no word of its own for one, the general kind is allowed."""
_GENERAL = {400: frozenset({ErrorKind.BAD_REQUEST}), 403: frozenset({ErrorKind.PERMISSION}), 429: frozenset({ErrorKind.RATE_LIMIT})}
"""Kinds of statuses that some wires give to several causes (xAI answers 400 to a wrong key, Azure 403 to a used-up quota)."""


def _entry(name: str, check: Check, *needs: Callable[[Subject], str | None]) -> Entry:
    return Entry(f"exchange-{name}", check, (simulated, *needs))


ENTRIES = (
    _entry("complete", _complete),
    _entry("stream-equals-complete", partial(_stream_equals_complete, "plain"), streams),
    _entry("stream-equals-complete-tools", partial(_stream_equals_complete, "forced"), streams, tools),
    _entry("stream-equals-complete-structured", partial(_stream_equals_complete, "structured"), streams, structured),
    _entry("tool-loop", _tool_loop, tools, forces),
    _entry("tool-results", partial(_accepted, "tool_loop"), tools),
    _entry("picture", partial(_accepted, "picture"), vision),
    _entry("sampling", partial(_accepted, "sampled"), stops),
    _entry("structured", _structured, structured),
    _entry("length", _cut_short),
    _entry("empty", _empty),
    *(_entry(f"error-{name}", partial(_error, action, kinds, _whole, "chat")) for name, action, kinds in _REFUSALS),
    *(
        _entry(f"stream-error-{name}", partial(_error, action, kinds, _streamed, "stream"), streams)
        for name, action, kinds in _REFUSALS[:6]
    ),
    _entry("unknown-model", _unknown_model),
    _entry("wrong-key", _wrong_key, keyed),
    _entry("html", _html),
    _entry("truncated", partial(_truncated, Truncate(bytes=40), _whole, "chat")),
    _entry("stream-cut", partial(_truncated, CutStream(events=3), _streamed, "stream"), streams),
    _entry("stream-reset", partial(_truncated, Reset(after_bytes=400), _streamed, "stream"), streams),
    _entry("error-in-stream", _error_in_stream, streams),
    _entry("leaving-early", _leaving_early, streams),
)
