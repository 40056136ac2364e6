"""``/v1/keys`` and ``/v1/key``, and what of the models a key sees."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from headgate.gateway.endpoints.keys import standing_json
from headgate.ledger.keys import KeyChange
from headgate.ledger.rights import ADMIN
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.raw_http import KEY, RawWire, request_bytes
from headgate.wire.json import Json, JsonObject

ADMIN_KEY = "hg-the-key-of-the-administrator"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    document: Json


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("gate"), admin_key=ADMIN_KEY) as running:
        yield running


def call(gate: Rig, method: str, path: str, document: Json = None, key: str = ADMIN_KEY, **headers: str) -> Answer:
    body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    with RawWire(int(gate.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes(method, path, body, key=key, **headers))
        reply = wire.reply()
    return Answer(reply.status, reply.headers, json.loads(reply.body))


def create(gate: Rig, **fields: Json) -> JsonObject:
    answer = call(gate, "POST", "/v1/keys", fields)
    assert answer.status == 201, answer.document
    found: JsonObject = answer.document
    return found


def test_a_life(gate: Rig) -> None:
    asked = {
        "name": "an app",
        "team": "t",
        "tags": ["a"],
        "models": ["sim-openai/*"],
        "expires_in": 3600,
        "limits": {"rpm": 60, "concurrency": 2},
        "budget": {"usd": "12.5", "window": "day", "action": "clamp"},
        "max_output": 500,
    }
    answer = call(gate, "POST", "/v1/keys", asked)
    assert answer.headers["cache-control"] == "no-store"
    made = answer.document
    secret = made.pop("key")
    id = made["id"]
    assert made["budget"] == {"usd": "12.50", "window": "day", "action": "clamp"}
    assert made["limits"] == {"rpm": 60, "concurrency": 2}
    assert (made["status"], made["created_by"]) == ("active", "the administration key of the settings")
    assert call(gate, "GET", f"/v1/keys/{id}").document == made
    changed = call(gate, "PATCH", f"/v1/keys/{id}", {"limits": {"rpm": None, "tpm": 7}, "budget": None, "name": "another"}).document
    assert changed == {**made, "limits": {"tpm": 7, "concurrency": 2}, "budget": None, "name": "another"}
    assert call(gate, "GET", "/v1/key", key=secret).document["limits"] == {"tpm": 7, "concurrency": 2}
    rotated = call(gate, "POST", f"/v1/keys/{id}/rotate", {"overlap": 60}).document
    assert rotated["old_secret_until"] is not None
    for good in (secret, rotated["key"]):
        assert call(gate, "GET", "/v1/key", key=good).document["id"] == id
    assert call(gate, "DELETE", f"/v1/keys/{id}").document["status"] == "revoked"
    for gone in (secret, rotated["key"]):
        assert call(gate, "GET", "/v1/key", key=gone).status == 401
    assert call(gate, "PATCH", f"/v1/keys/{id}", {"name": "x"}).status == 400
    assert gate.keys.trail_break() is None


def test_what_any_key_may_know_of_itself(gate: Rig) -> None:
    made = create(gate, name="n", user="u", scopes=["usage:read"], expires="2099-01-01T00:00:00+01:00")
    own = call(gate, "GET", "/v1/key", key=made["key"]).document
    assert (own["id"], own["user"], own["scopes"]) == (made["id"], "u", ["usage:read"])
    assert own["expires"] == "2098-12-31T23:00:00.000Z"
    assert own["budgets"] == []
    own = call(gate, "GET", "/v1/key", key=KEY).document
    assert (own["id"], own["scopes"]) == (None, ["completions:read", "models:read", "usage:read"])


def test_a_standing_in_dollars() -> None:
    class Standing:
        scope, window, action = "key:x", "day", "block"
        limit_nanos, spent_nanos, reserved_nanos = 5_000_000_000, 4_000_000_001, 2_000_000_000
        starts, ends = 0.0, None

    assert standing_json(Standing()) == {
        "scope": "key:x",
        "window": "day",
        "action": "block",
        "limit_usd": "5.00",
        "used_usd": "4.000000001",
        "reserved_usd": "2.00",
        "remaining_usd": "0.00",
        "starts": "1970-01-01T00:00:00.000Z",
        "ends": None,
    }


def test_pages(gate: Rig) -> None:
    for _ in range(3):
        create(gate)
    first = call(gate, "GET", "/v1/keys?limit=2").document
    assert (len(first["data"]), first["has_more"]) == (2, True)
    rest = call(gate, "GET", f"/v1/keys?after={first['last_id']}").document
    assert rest["has_more"] is False
    assert not {key["id"] for key in first["data"]} & {key["id"] for key in rest["data"]}
    assert not any("seal" in key or "key" in key for key in rest["data"])
    for limit in ("0", "x", "-1", "1000", "9" * 30):
        assert call(gate, "GET", f"/v1/keys?limit={limit}").status == 400


BAD: dict[str, Json] = {
    "no JSON": b"{",
    "no object": [],
    "unknown field": {"scope": ["admin"]},
    "unknown scope": {"scopes": ["completions:write"]},
    "no scopes": {"scopes": []},
    "admin that calls": {"scopes": ["admin", "completions:read"]},
    "a budget as number": {"budget": {"usd": 5}},
    "a budget of nothing": {"budget": {"usd": "0"}},
    "too fine a budget": {"budget": {"usd": "0.0000000001"}},
    "a negative budget": {"budget": {"usd": "-1"}},
    "a budget in words": {"budget": {"usd": "1e3"}},
    "unknown window": {"budget": {"usd": "1", "window": "year"}},
    "unknown action": {"budget": {"usd": "1", "action": "scream"}},
    "no time zone": {"expires": "2099-01-01T00:00:00"},
    "no time": {"expires": "soon"},
    "both": {"expires": None, "expires_in": 5},
    "never in": {"expires_in": 0},
    "for ever in": {"expires_in": 1e300},
    "a limit of nothing": {"limits": {"rpm": 0}},
    "unknown limit": {"limits": {"rps": 1}},
    "a huge limit": {"limits": {"rpm": 2**60}},
    "a name with NUL": {"name": "a\0b"},
    "a team with a colon": {"team": "a:b"},
    "a pattern with a blank": {"models": ["a b"]},
    "a lone surrogate": b'{"name":"\\ud800"}',
    "deep": b'{"limits":' * 2000,
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_cannot_be(gate: Rig, name: str) -> None:
    answer = call(gate, "POST", "/v1/keys", BAD[name])
    assert answer.status == 400
    assert answer.document["error"]["code"] == "invalid_request"


def test_other_paths_below(gate: Rig) -> None:
    made = create(gate)
    assert call(gate, "POST", f"/v1/keys/{made['id']}", {}).status == 404
    assert call(gate, "POST", f"/v1/keys/{made['id']}/rotate", {"overlap": -1}).status == 400
    assert call(gate, "GET", f"/v1/keys/{made['id']}/rotate").status == 404
    assert call(gate, "GET", "/v1/keys/' OR 1=1 --".replace(" ", "%20")).status == 404
    assert call(gate, "PUT", f"/v1/keys/{made['id']}", {}).status == 405
    assert call(gate, "POST", "/v1/keys", b"x" * 70_000).status == 413


def test_a_minter_gives_what_it_has(gate: Rig) -> None:
    minter = create(gate, team="t", scopes=["keys:write", "completions:read"], models=["sim-openai/*"])["key"]
    child = call(gate, "POST", "/v1/keys", {"name": "c", "models": ["sim-openai/sim-small"]}, key=minter)
    assert (child.status, child.document["team"], child.document["scopes"]) == (201, "t", ["completions:read"])
    for more in ({"models": ["*"]}, {"scopes": ["admin"]}, {"scopes": ["usage:read"]}, {"team": "u"}):
        refused = call(gate, "POST", "/v1/keys", more, key=minter)
        assert (refused.status, refused.document["error"]["code"]) == (403, "forbidden")
    also = call(gate, "DELETE", f"/v1/keys/{child.document['id']}?made=true", key=minter)
    assert (also.status, also.document["also_revoked"]) == (200, [])
    assert call(gate, "GET", "/v1/key", key=child.document["key"]).status == 401


def test_models_that_a_key_may_not_call_do_not_exist(gate: Rig) -> None:
    some = create(gate, models=["sim-openai/*"])["key"]
    for headers in ({}, {"anthropic_version": "2023-06-01"}):
        shown = call(gate, "GET", "/v1/models", key=some, **headers).document["data"]
        assert shown and all(entry["id"].startswith("sim-openai/") for entry in shown)
        hidden, absent = (
            call(gate, "GET", f"/v1/models/{name}", key=some, **headers) for name in ("sim-gemini/sim-small", "sim-gemini/sim-smell")
        )
        assert hidden.status == absent.status == 404
        assert str(hidden.document).replace("small", "smell") == str(absent.document)
    assert call(gate, "GET", "/v1/models/sim-openai/sim-small", key=some).status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens"])
def test_nor_when_they_are_asked(gate: Rig, path: str) -> None:
    some = create(gate, models=["sim-openai/*"])["key"]
    body = {"messages": [{"role": "user", "content": "x"}], "input": "x"}
    answers = [call(gate, "POST", path, {**body, "model": f"sim-gemini/{name}"}, key=some) for name in ("sim-small", "sim-smell")]
    assert [answer.status for answer in answers] == [404, 404]
    for answer in answers:
        answer.document.pop("request_id", None)
    assert str(answers[0].document).replace("small", "smell") == str(answers[1].document)


def test_a_revocation_elsewhere_is_noticed(gate: Rig) -> None:
    made = gate.keys.create(KeyChange(), ADMIN)
    assert call(gate, "GET", "/v1/key", key=made.secret.reveal()).status == 200
    gate.keys.revoke(made.key.id, ADMIN)
    deadline = time.monotonic() + 5.0
    while call(gate, "GET", "/v1/key", key=made.secret.reveal()).status == 200:
        assert time.monotonic() < deadline, "a revoked key is let in for more than 5 s"
