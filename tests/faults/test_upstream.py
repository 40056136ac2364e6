"""What providers do, seen through the gateway: every scripted fault on every way (faults A6–A25, B1–B24, C1–C9).

Whatever happens upstream, the client gets a whole HTTP answer within its time, there is one receipt that tells the same, and nothing is
held afterwards. `PLAIN` says besides what an answer must be.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.sim.faults import CutStream, Garbage, Huge, Match, Rule, Status
from headgate.sim.faults_bytes import Edit, Encoded, Events, Headers, Informational, Insert, Patch, Stall
from headgate.testing.gateway import Rig
from headgate.testing.ways import WAYS, Seen, ask

_PATH = Path(__file__).parents[1] / "unit" / "sim" / "test_fault_catalogue.py"
_spec = importlib.util.spec_from_file_location("scripted_faults", _PATH)
assert _spec is not None and _spec.loader is not None
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)

EVERY_WAY = pytest.mark.parametrize("way", sorted(WAYS))
ONE_WIRE = pytest.mark.parametrize("way", ["fast", "endpoint"])
SHAPES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
LONGEST = 5.0
NewReceipts = Callable[[], list[Any]]


def told_alike(seen: Seen, receipts: list[Any]) -> None:
    """What the client saw and what was booked are the same story."""
    assert seen.end == "whole" and seen.seconds < LONGEST
    assert len(receipts) == 1
    assert (receipts[0].status == "ok") is seen.complete
    assert receipts[0].cost_nanos is not None and receipts[0].cost_nanos >= 0
    assert seen.complete or seen.status != 200 or seen.failed_in_the_stream
    assert seen.status != 500 or receipts[0].attempts[-1].status == 500


@pytest.mark.parametrize("name", sorted(scripted.CASES))
@EVERY_WAY
def test_whatever_happens_upstream(rig: Rig, new_receipts: NewReceipts, name: str, way: str) -> None:
    case = scripted.CASES[name]
    for stream in (False, True):
        rig.calm()
        rig.sim.set_faults(tuple(Rule(action, Match(first=case.first)) for action in case.actions))
        told_alike(ask(rig, WAYS[way], stream=stream), new_receipts())


def failing(rig: Rig, *actions: Any) -> None:
    rig.sim.set_faults(tuple(Rule(action) for action in actions))


@ONE_WIRE
@SHAPES
def test_a_refusal_without_a_body_keeps_its_kind_and_its_hint(rig: Rig, new_receipts: NewReceipts, way: str, stream: bool) -> None:
    failing(rig, Garbage(429, body=""), Headers(add=(("retry-after", "7"),)))
    seen = ask(rig, WAYS[way], stream=stream)
    (receipt,) = new_receipts()
    assert (seen.status, receipt.error, receipt.cost_nanos) == (429, "rate_limit", 0)
    assert seen.headers["retry-after"] == "7"


@EVERY_WAY
@SHAPES
def test_a_page_in_place_of_an_error_never_reaches_the_client(rig: Rig, way: str, stream: bool) -> None:
    """A24: whatever its status, HTML is no answer on any wire."""
    failing(rig, Garbage(503))
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.status in (502, 503) and seen.headers["content-type"].startswith("application/json")
    assert seen.json()["error"] and "x-headgate-request-id" in seen.headers


@EVERY_WAY
@SHAPES
def test_an_error_of_any_wire_that_calls_itself_a_success(rig: Rig, way: str, stream: bool) -> None:
    """A23."""
    failing(rig, Garbage(200, "application/json", '{"error": {"message": "no", "type": "server_error"}}'))
    assert ask(rig, WAYS[way], stream=stream).status in (502, 503)


@EVERY_WAY
def test_an_event_without_end_is_no_end_of_the_answer(rig: Rig, way: str) -> None:
    """B4: beyond the cap for events the stream is not understood any more; the client still gets an end."""
    failing(rig, Insert("x", at=2, times=3 << 20))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.end == "whole" and seen.seconds < LONGEST


@EVERY_WAY
def test_silence_before_and_within_a_stream(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """A7, A8: another deadline each; a stream that was begun is ended by an error, and never begun anew."""
    failing(rig, Stall(30.0, events=0))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.status == 504 and len(new_receipts()) == 1
    rig.calm()
    failing(rig, Stall(30.0, events=4))
    seen = ask(rig, WAYS[way], stream=True)
    (receipt,) = new_receipts()
    assert (seen.status, seen.failed_in_the_stream, receipt.error, receipt.usage.source) == (200, True, "timeout", "estimated")
    assert receipt.usage.output_total > 0 and len(receipt.attempts) == 1


@EVERY_WAY
def test_a_connection_that_stays_open_behind_the_last_word(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """A9: the terminator ends the answer."""
    failing(rig, Stall(30.0))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.complete and seen.seconds < 0.5
    assert new_receipts()[0].usage.source == "provider"


@EVERY_WAY
def test_pings_alone_do_not_keep_a_stream_alive_for_ever(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """A10: a stream has a deadline, whatever moves in it."""
    failing(rig, Insert(": ping\n\n", at=2, times=4000), CutStream(3990), scripted.Drip(bytes=10, seconds=0.005))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.end == "whole" and not seen.complete and seen.seconds < LONGEST
    assert new_receipts()[0].error == "timeout"


@EVERY_WAY
@SHAPES
def test_a_redirect_is_not_followed(rig: Rig, way: str, stream: bool) -> None:
    """A17, R8: neither the key nor the request goes to another place."""
    before = len(rig.sim.requests)
    failing(rig, Garbage(307, body=""), Headers(add=(("location", f"{rig.sim.url}/openai/v1/chat/completions"),)))
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.status == 502 and "location" not in seen.headers
    assert len(rig.sim.requests) == before + 1


@ONE_WIRE
@SHAPES
def test_headers_of_the_provider_that_stay_behind(rig: Rig, way: str, stream: bool) -> None:
    """A18."""
    failing(
        rig, Headers(add=(("set-cookie", "a=b"), ("server", "x"), ("keep-alive", "1"), ("x-powered-by", "y"), ("location", "http://z")))
    )
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.complete
    assert not {"set-cookie", "server", "keep-alive", "x-powered-by", "location"} & set(seen.headers)


@EVERY_WAY
def test_a_few_informational_answers_are_borne_and_a_flood_is_not(rig: Rig, way: str) -> None:
    """A15."""
    failing(rig, Informational(103, times=3))
    assert ask(rig, WAYS[way]).complete
    rig.calm()
    failing(rig, Informational(103, times=1000))
    assert ask(rig, WAYS[way]).status == 502


@EVERY_WAY
@SHAPES
def test_another_model_answered(rig: Rig, new_receipts: NewReceipts, way: str, stream: bool) -> None:
    """A25: both names are in the receipt."""
    failing(rig, Patch("model", "sim-other"), Patch("message.model", "sim-other"))
    assert ask(rig, WAYS[way], stream=stream).complete
    (receipt,) = new_receipts()
    assert (receipt.model, receipt.model_answered) == ("sim-small", "sim-other")


@EVERY_WAY
def test_an_answer_without_end_is_cut_off(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """B8: 64 MiB and no more, and no more memory than that."""
    failing(rig, Huge(200 << 20))
    seen = ask(rig, WAYS[way], patience=20.0)
    assert seen.status in (502, 504) and len(new_receipts()) == 1


@EVERY_WAY
@SHAPES
def test_a_compressed_answer_is_none(rig: Rig, way: str, stream: bool) -> None:
    """B9, B10: it was not asked for, and is never unpacked."""
    failing(rig, Encoded(blanks=1 << 22))
    seen = ask(rig, WAYS[way], stream=stream)
    assert (seen.status, seen.headers.get("content-encoding")) == (502, None)


@EVERY_WAY
@SHAPES
def test_a_missing_count_is_estimated_and_never_free(rig: Rig, new_receipts: NewReceipts, way: str, stream: bool) -> None:
    """B11."""
    failing(rig, Patch("usage", remove=True), Patch("message.usage", remove=True))
    ask(rig, WAYS[way], stream=stream)
    (receipt,) = new_receipts()
    assert receipt.usage.source == "estimated" and receipt.cost_nanos > 0


@pytest.mark.parametrize("count", [-5, 0, 10**15, 10**30, 1.5, "7", None])
@pytest.mark.parametrize("way", ["fast", "endpoint", "translated anthropic"])
@SHAPES
def test_absurd_counts(rig: Rig, new_receipts: NewReceipts, way: str, stream: bool, count: object) -> None:
    """B12: nothing is billed below nothing, nor beyond all reason, and the request is booked."""
    failing(rig, Patch("usage.completion_tokens", count))
    ask(rig, WAYS[way], stream=stream)
    (receipt,) = new_receipts()
    assert receipt.cost_nanos is not None and 0 <= receipt.cost_nanos < 10**12 and receipt.usage.output_total >= 0


@ONE_WIRE
def test_content_behind_the_count_reaches_the_client(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """B13."""
    failing(rig, Events("swap", -4, 2))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.complete and b'"finish_reason":"stop"' in seen.body
    assert new_receipts()[0].usage.source == "provider"


@EVERY_WAY
@SHAPES
def test_an_ending_nobody_knows(rig: Rig, way: str, stream: bool) -> None:
    """B14."""
    failing(rig, Edit('"finish_reason":"stop"', '"finish_reason":"tired"'), Edit('"stop_reason":"end_turn"', '"stop_reason":"tired"'))
    assert ask(rig, WAYS[way], stream=stream).complete


@EVERY_WAY
def test_a_whole_answer_in_place_of_a_stream(rig: Rig, new_receipts: NewReceipts, way: str) -> None:
    """B24: passed on or told, never waited for."""
    anthropic = WAYS[way].provider == "sim-anthropic"
    answer = {
        "id": "x",
        "object": "chat.completion",
        "type": "message",
        "role": "assistant",
        "model": "sim-small",
        "content": [{"type": "text", "text": "whole"}],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 4} if anthropic else {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    failing(rig, Garbage(200, "application/json", json.dumps(answer)))
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.end == "whole" and len(new_receipts()) == 1
    assert b"whole" in seen.body or seen.status == 502


@EVERY_WAY
@SHAPES
def test_what_the_client_is_told_of_a_wait(rig: Rig, way: str, stream: bool) -> None:
    """C1 to C3: the provider's own word, whichever way it came."""
    failing(rig, Status("rate_limit", retry_after=7))
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.status == 429 and seen.headers["retry-after"] == "7"
    rig.calm()
    failing(rig, Status("rate_limit"), Headers(drop=("retry-after",)))
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.status == 429 and int(seen.headers["retry-after"]) == 1
    for word in ("-1", "1e9", "soon", "999999999999"):
        rig.calm()
        failing(rig, Status("rate_limit"), Headers(add=(("retry-after", word),)))
        assert ask(rig, WAYS[way], stream=stream).status == 429


@EVERY_WAY
@SHAPES
@pytest.mark.parametrize(("kind", "status"), [("rate_limit", 429), ("overloaded", 503)])
def test_while_its_provider_asks_to_wait_clients_are_told_to_wait(rig: Rig, way: str, stream: bool, kind: str, status: int) -> None:
    """C1, case 85: as long as nobody may be asked, the answer is the one that the provider gave."""
    failing(rig, Status(kind, retry_after=7))
    ask(rig, WAYS[way], stream=stream)
    before = len(rig.sim.requests)
    seen = ask(rig, WAYS[way], stream=stream)
    assert (seen.status, len(rig.sim.requests)) == (status, before)
    assert 1 <= int(seen.headers["retry-after"]) <= 8 and seen.headers["x-should-retry"] == "true"


@EVERY_WAY
@SHAPES
def test_a_refused_key_of_ours_is_no_refusal_of_the_client(rig: Rig, way: str, stream: bool) -> None:
    """C9."""
    failing(rig, Status("auth"))
    seen = ask(rig, WAYS[way], stream=stream)
    assert seen.status == 502 and b"sim-headgate" not in seen.body


@EVERY_WAY
@SHAPES
def test_an_account_of_ours_without_credit_is_no_refusal_of_the_client(rig: Rig, way: str, stream: bool) -> None:
    """C5, cases 85 and 86. Anthropic refuses it like a malformed request, without a code: that passes as it is."""
    failing(rig, Status("quota"))
    seen = ask(rig, WAYS[way], stream=stream)
    if b"credit balance" in seen.body:
        assert seen.status == 400
    else:
        assert seen.status == 503 and seen.headers["x-should-retry"] == "false"
