"""Recording and replaying: what is written, where, and for whom."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.config import redact
from headgate.errors import StoreError
from headgate.ledger.principal import Principal
from headgate.serving.envelopes import Refused
from headgate.serving.recorder import Recorder
from headgate.serving.stored import Stored

KEY = "sk-canary0123456789abcdef"
BODY = b'{"model": "m", "messages": []}'
ANSWER = Stored(status=200, headers=(("content-type", "application/json"),), body=b'{"text": "hi"}', provider="openai", model="m", at=5.0)


def who(recording: Literal["off", "record", "replay"], team: str = "red") -> Principal:
    """A key."""
    return Principal(key_id="k", team=team, recording=recording)


def keep(recorder: Recorder, principal: Principal, stored: Stored = ANSWER, body: bytes = BODY) -> bool:
    """Record an exchange."""
    headers = (
        ("authorization", f"Bearer {KEY}"),
        ("x-api-key", KEY),
        ("cookie", "c"),
        ("anthropic-version", "2023-06-01"),
        ("user-agent", KEY),
    )
    return asyncio.run(recorder.keep(principal, "openai", "/v1/chat/completions", body, stored, headers))


def lookup(recorder: Recorder, principal: Principal, body: bytes = BODY) -> Stored | None:
    """Look for a recording."""
    return asyncio.run(recorder.lookup(principal, "openai", "/v1/chat/completions", body))


@given(st.binary(max_size=50), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_recorded_is_replayed(tmp_path: Path, body: bytes, stream: bool) -> None:
    recorder = Recorder(tmp_path, redact)
    stored = msgspec.structs.replace(ANSWER, body=body, stream=stream, cost_nanos=5, receipt="r")
    assert keep(recorder, who("record"), stored)
    found = lookup(recorder, who("replay"), b'{"messages":[],"model":"m"}')
    assert found == msgspec.structs.replace(stored, cost_nanos=0, receipt="")


def test_only_keys_that_record_write_and_only_those_that_replay_read(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "cassettes", redact)
    assert not keep(recorder, who("off"))
    assert not keep(recorder, who("replay"))
    assert not (tmp_path / "cassettes").exists()
    assert keep(recorder, who("record"))
    assert lookup(recorder, who("off")) is lookup(recorder, who("record")) is None


def test_a_miss_is_told_and_makes_no_call(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        lookup(Recorder(tmp_path, redact), who("replay"))
    assert (refused.value.status, refused.value.code) == (404, "no_recording")


def test_tenants_do_not_meet(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, redact)
    keep(recorder, who("record", "red"))
    with pytest.raises(Refused):
        lookup(recorder, who("replay", "blue"))


def test_secrets_are_masked_and_files_are_private(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, redact)
    keep(recorder, who("record"), body=f'{{"messages": "my key is {KEY}"}}'.encode())
    (path,) = tmp_path.rglob("*.json")
    text = path.read_text()
    assert KEY not in text
    assert '"cookie"' not in text
    assert '"anthropic-version"' in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, team: str) -> None:
    folder = tmp_path_factory.mktemp("in") / "cassettes"
    recorder = Recorder(folder, redact)
    for name in (team, f"../../{team}", f"/{team}", f"{team}\0"):
        assert keep(recorder, who("record", name))
        assert lookup(recorder, who("replay", name)) is not None
    assert {path.parent.parent for path in folder.parent.rglob("*.json")} == {folder}


def test_what_is_too_large_is_not_recorded(tmp_path: Path) -> None:
    assert not keep(Recorder(tmp_path, redact, largest=10), who("record"))


def test_a_damaged_cassette_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, redact)
    keep(recorder, who("record"))
    (path,) = tmp_path.rglob("*.json")
    for text in ("{", path.read_text().replace('"form": 1', '"form": 99')):
        path.write_text(text)
        with pytest.raises(StoreError):
            lookup(recorder, who("replay"))
