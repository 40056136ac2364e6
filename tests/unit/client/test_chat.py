"""One call to one target, against the simulator on real sockets."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.client import ChatClient, Target
from headgate.client.chat import PreparedForm, listen, prepare
from headgate.config import Secret
from headgate.dialects.base import ChatDialect, FoldTap
from headgate.dialects.tap import tap_of
from headgate.domain.events import Delta
from headgate.domain.request import HostedTool, Request, ResponseFormat, system_message, user_message
from headgate.domain.response import Finish
from headgate.errors import ErrorKind, ProviderError, TooLarge, Truncated, Unsupported, WireError
from headgate.providers import PROVIDERS
from headgate.sim.faults import Action, CutStream, Delay, DropReply, Garbage, Huge, Status, StreamError, Twist
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing import samples
from headgate.testing.simulators import fault, running_simulator, simulated_target, wait_for, with_chat
from headgate.wire.http import Send
from headgate.wire.json import encode

pytest_plugins = ["headgate.testing.pytest_plugin"]

SIMULATED = sorted(name for name, provider in PROVIDERS.items() if provider.simulated)
KEYS_ARE_ARGUMENTS = {"sim-xai"}
"""Where a wrong key is an invalid argument, told by nothing but words (recorded traffic: 400)."""
NAMELESS = {"bedrock_converse"}
"""Wires whose answers do not say which model made them."""


@pytest.fixture(params=SIMULATED)
def target(request: pytest.FixtureRequest, headgate_sim: Simulator) -> Target:
    """The default model of each simulated provider."""
    return simulated_target(PROVIDERS[request.param], headgate_sim)


def without_tap(dialect: ChatDialect) -> ChatDialect:
    """A dialect that has no tap of its own."""
    return msgspec.structs.replace(dialect, stream_tap=FoldTap)


def failing(ask: Callable[[ChatClient], Awaitable[object]]) -> ProviderError:
    """The error a call ends with."""
    with pytest.raises(ProviderError) as caught:
        with_chat(ask)
    return caught.value


def streaming(target: Target) -> Callable[[ChatClient], Awaitable[object]]:
    async def ask(chat: ChatClient) -> object:
        async with chat.stream(target, samples.PLAIN) as session:
            return [event async for event in session]

    return ask


def test_a_call_tells_when_it_happened_and_what_it_was(target: Target) -> None:
    exchange = with_chat(lambda chat: chat.complete(target, samples.PLAIN, request_id="our-id"))
    assert exchange.response.finish is Finish.STOP
    assert exchange.response.text
    assert exchange.started > 1_700_000_000
    assert 0 < exchange.duration < 20
    assert exchange.request_bytes == len(prepare(target, samples.PLAIN).body)
    assert exchange.notes == ()


def test_the_target_names_the_model_whatever_the_request_said(target: Target, headgate_sim: Simulator) -> None:
    request = msgspec.structs.replace(samples.PLAIN, model="something-else")
    exchange = with_chat(lambda chat: chat.complete(target, request))
    assert headgate_sim.requests[0].model == target.model
    assert exchange.response.model == ("" if target.chat.name in NAMELESS else target.model)


def test_a_whole_call_never_streams(target: Target, headgate_sim: Simulator) -> None:
    request = msgspec.structs.replace(samples.PLAIN, stream=True, stream_usage=True)
    with_chat(lambda chat: chat.complete(target, request))
    assert [entry.operation for entry in headgate_sim.requests] == ["chat"]


def test_a_refused_field_is_refused_before_anything_is_sent(target: Target, headgate_sim: Simulator) -> None:
    hosted = msgspec.structs.replace(samples.PLAIN, tools=(HostedTool("teleport", {"type": "teleport"}, "another_wire"),))
    with pytest.raises(Unsupported) as caught:
        with_chat(lambda chat: chat.complete(target, hosted))
    assert caught.value.param
    assert headgate_sim.requests == []


def test_losses_are_noted(headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS["sim-anthropic"], headgate_sim)
    request = msgspec.structs.replace(samples.PLAIN, seed=7)
    exchange = with_chat(lambda chat: chat.complete(target, request))
    assert [(note.field, note.action) for note in exchange.notes] == [("seed", "dropped")]


def test_a_stream_folds_while_it_is_read(target: Target) -> None:
    async def read(chat: ChatClient) -> None:
        async with chat.stream(target, samples.PLAIN) as session:
            assert not session.complete
            text = ""
            async for event in session:
                text += event.text if isinstance(event, Delta) else ""
                assert session.fold.response().text.startswith(text)
            assert session.complete
            assert text == session.fold.response().text != ""
            assert session.first_event is not None and 0 < session.first_event <= session.duration
            assert session.fold.usage is not None and session.fold.usage.output_total > 0
            assert session.request_bytes > 0

    with_chat(read)


@pytest.mark.parametrize("headgate_sim_settings", [SimSettings(seed=7, event_gap=0.05)])
def test_case_66_a_client_that_leaves_cancels_upstream(target: Target, headgate_sim: Simulator) -> None:
    async def leave(chat: ChatClient) -> None:
        async with chat.stream(target, samples.PLAIN) as session:
            async for event in session:
                if isinstance(event, Delta):
                    break
        assert not session.complete
        assert session.fold.response().finish is None

    with_chat(leave)
    (entry,) = headgate_sim.requests
    assert wait_for(lambda: entry.client_gone is not None)


BILLED: list[tuple[Action, bool]] = [
    (Status("bad_request"), False),
    (Status("auth"), False),
    (Status("rate_limit"), False),
    (Status("overloaded"), False),
    (Garbage(), False),
    (DropReply(), True),
    (Twist("refusal"), True),
    (Twist("empty"), True),
]


@pytest.mark.parametrize(
    ("action", "billed"), BILLED, ids=lambda value: type(value).__name__ if not isinstance(value, bool) else str(value)
)
def test_case_60_what_a_failure_costs(target: Target, headgate_sim: Simulator, action: Action, billed: bool) -> None:
    """Refused requests are not billed; answers that were made are, whether they are of use or came through at all."""
    headgate_sim.set_faults(fault("chat", action))

    async def ask(chat: ChatClient) -> None:
        try:
            exchange = await chat.complete(target, samples.PLAIN)
        except ProviderError as error:
            assert error.sent
            assert error.provider == target.provider.name
        else:
            assert exchange.response.usage is not None

    with_chat(ask)
    assert bool(headgate_sim.bill.lines) is billed


def test_nothing_can_be_billed_when_nothing_was_sent(headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS["sim-openai"], headgate_sim)
    nobody = msgspec.structs.replace(target, origin=msgspec.structs.replace(target.origin, port=1))
    error = failing(lambda chat: chat.complete(nobody, samples.PLAIN))
    assert (error.kind, error.sent, error.provider) == (ErrorKind.CONNECTION, False, "sim-openai")


def test_a_page_of_html_is_bad_content(target: Target, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults(fault("chat", Garbage()))
    error = failing(lambda chat: chat.complete(target, samples.PLAIN))
    assert (error.kind, error.code, error.status) == (ErrorKind.SERVER, "upstream_bad_content", 200)
    assert error.body.startswith(b"<!doctype html>")
    assert "text/html" in error.message


def test_a_page_of_html_instead_of_a_stream_is_no_answer(target: Target, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults(fault("stream", Garbage()))
    with pytest.raises((Truncated, WireError, ProviderError)):
        with_chat(streaming(target))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refusal_says_how_long_to_wait(target: Target, headgate_sim: Simulator, stream: bool) -> None:
    headgate_sim.set_faults(fault("stream" if stream else "chat", Status("rate_limit", retry_after=2.0)))
    error = failing(streaming(target) if stream else lambda chat: chat.complete(target, samples.PLAIN))
    assert (error.kind, error.status, error.retry_after) == (ErrorKind.RATE_LIMIT, 429, 2.0)
    assert error.provider == target.provider.name
    assert error.transient


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refused_key_names_its_variable_and_account(target: Target, headgate_sim: Simulator, stream: bool) -> None:
    if target.provider.auth.optional:
        pytest.skip("serves without a key, so that no key is wrong")
    wrong = simulated_target(target.provider, headgate_sim, key="no-such-key-1234")
    error = failing(streaming(wrong) if stream else lambda chat: chat.complete(wrong, samples.PLAIN))
    assert "no-such-key-1234" not in f"{error}{error.hint}{error.body!r}"
    if target.provider.name in KEYS_ARE_ARGUMENTS:
        assert (error.kind, error.status, error.transient) == (ErrorKind.BAD_REQUEST, 400, False)
        return
    assert error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION)
    assert error.kind is ErrorKind.PERMISSION or error.hint == "check the key in HEADGATE_SIM_KEY (account 'tests')"


def test_a_server_that_needs_no_key_is_sent_none_unless_there_is_one(headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS["sim-ollama"], headgate_sim, key="any-key-will-do")
    assert with_chat(lambda chat: chat.complete(target, samples.PLAIN)).response.text
    keyless = msgspec.structs.replace(target, credential=msgspec.structs.replace(target.credential, key=Secret("")))
    assert with_chat(lambda chat: chat.complete(keyless, samples.PLAIN)).response.text
    with_key, without = (dict(each.headers(Send("GET", "/api/tags"))) for each in (target, keyless))
    assert (with_key["authorization"], "authorization" in without) == ("Bearer any-key-will-do", False)


def test_a_prompt_that_azures_content_filter_stops_is_told_as_such(headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS["sim-azure_openai"], headgate_sim)
    headgate_sim.set_faults(fault("chat", Twist("refusal")))
    error = failing(lambda chat: chat.complete(target, samples.PLAIN))
    assert (error.kind, error.status, error.code) == (ErrorKind.CONTENT_FILTER, 400, "content_filter")
    assert not error.transient


@pytest.mark.parametrize("name", ["sim-openai", "sim-anthropic"])
def test_a_refusal_carries_the_providers_request_id(headgate_sim: Simulator, name: str) -> None:
    target = simulated_target(PROVIDERS[name], headgate_sim)
    headgate_sim.set_faults(fault("chat", Status("server")))
    error = failing(lambda chat: chat.complete(target, samples.PLAIN))
    assert error.request_id == headgate_sim.requests[0].request_id


def test_a_cut_stream_is_not_complete_and_keeps_what_came(target: Target, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults(fault("stream", CutStream(events=4)))

    async def read(chat: ChatClient) -> None:
        async with chat.stream(target, samples.PLAIN) as session:
            with pytest.raises((Truncated, ProviderError)):
                assert [event async for event in session]
        assert not session.complete
        assert session.fold.response().text
        assert session.fold.response().finish is None

    with_chat(read)


@pytest.mark.parametrize("name", ["sim-openai", "sim-anthropic"])
def test_an_error_in_a_stream_has_the_provider_and_the_request(headgate_sim: Simulator, name: str) -> None:
    target = simulated_target(PROVIDERS[name], headgate_sim)
    headgate_sim.set_faults(fault("stream", StreamError(events=3)))

    async def read(chat: ChatClient) -> None:
        async with chat.stream(target, samples.PLAIN) as session:
            assert [event async for event in session]
        assert session.fold.error is not None
        error = session.fold.error.error
        assert (error.provider, error.request_id) == (name, headgate_sim.requests[0].request_id)
        assert not session.complete

    with_chat(read)


def test_the_callers_limit_ends_the_wait(target: Target, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults(fault("chat", Delay(seconds=30.0)))
    error = failing(lambda chat: chat.complete(target, samples.PLAIN, limit=0.05))
    assert (error.kind, error.fault, error.provider) == (ErrorKind.TIMEOUT, "network", target.provider.name)


def test_an_answer_without_end_is_left_at_the_cap(target: Target, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults(fault("chat", Huge(bytes=1 << 30)))
    with pytest.raises(TooLarge):
        with_chat(lambda chat: chat.complete(target, samples.PLAIN))
    (entry,) = headgate_sim.requests
    assert wait_for(lambda: entry.client_gone is not None)


def test_connections_are_used_again_and_none_is_left_behind(target: Target) -> None:
    async def twice(chat: ChatClient) -> None:
        for _ in range(3):
            await chat.complete(target, samples.PLAIN)
            assert chat._http.open_connections == chat._http.idle_connections == 1
        async with chat.stream(target, samples.PLAIN) as session:
            async for _ in session:
                pass
        assert chat._http.in_flight == 0
        assert chat._http.open_connections == 1

    with_chat(twice)


def test_our_request_id_travels_and_the_key_stays_out_of_sight() -> None:
    with running_simulator() as simulator:
        target = simulated_target(PROVIDERS["sim-openai"], simulator, key="sim-very-secret-key")
    assert ("x-client-request-id", "our-id") in target.headers(Send("GET", "/models"), "our-id")
    assert "very-secret" not in repr(target)
    assert target.name == "sim-openai/sim-small"


@pytest.mark.parametrize("dialect", [PROVIDERS["openai"].chat, without_tap(PROVIDERS["openai"].chat)], ids=["its own tap", "a fold"])
def test_listening_to_bytes_that_pass_through_never_raises(dialect: ChatDialect) -> None:
    tap = tap_of(dialect)
    assert listen(tap, b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n') is None
    assert tap.response().text == "x"
    assert listen(tap_of(dialect), b"data: {broken\n\n") is not None


texts = st.one_of(
    st.text(max_size=40), st.sampled_from(["", " ", "\n", " x ", 'a "quoted" \\ text', "null", "{}", "ü\u2028\U0001f642", "x" * 5000])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    text=texts,
    system=st.sampled_from([None, "Answer briefly."]),
    form=st.sampled_from([None, ResponseFormat("json_object"), ResponseFormat("json_schema", schema=samples.SCHEMA, name="answer")]),
)
def test_a_form_that_is_filled_is_what_would_have_been_prepared(
    target: Target, text: str, system: str | None, form: ResponseFormat | None
) -> None:
    def request_of(prompt: str) -> Request:
        messages = (user_message(prompt),) if system is None else (system_message(system), user_message(prompt))
        return Request(model=target.model, messages=messages, max_tokens=100, response_format=form)

    for surface in (target.chat, *target.provider.surfaces):
        asked = msgspec.structs.replace(target, surface=surface.name)
        try:
            whole = prepare(asked, request_of(text))
        except Unsupported as error:
            with pytest.raises(Unsupported, match=re.escape(error.message)):
                PreparedForm(asked, request_of).fill(text)
            continue
        filled = PreparedForm(asked, request_of).fill(text)
        assert (filled.body, filled.request) == (whole.body, whole.request)
        assert encode(filled.rendered.payload) == filled.body
        assert msgspec.structs.replace(filled.rendered, payload=None) == msgspec.structs.replace(whole.rendered, payload=None)
