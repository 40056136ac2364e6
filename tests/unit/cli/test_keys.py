"""``headgate keys``: keys made and looked after without a server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headgate.assembly.keys import key_ring, opened_keys
from headgate.assembly.parts import load_parts
from headgate.config import Secret
from headgate.errors import ConfigError
from headgate.serving.auth import fixed_keys
from headgate.wire.json import Json, JsonObject

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


def made(headgate: Command, *options: str) -> JsonObject:
    """A new key as JSON."""
    found: JsonObject = headgate("keys", "create", *options, "--json", code=0).json()
    return found


def test_a_key_is_shown_once(headgate: Command, headgate_environment: Path) -> None:
    assert "no keys" in headgate("keys", "ls", code=0).out
    done = headgate("keys", "create", "--name", "app", "--quiet", code=0)
    secret = done.out.strip()
    assert len(secret) == 52
    id = secret.split("-")[1]
    for command in (("ls",), ("ls", "--json"), ("show", id), ("show", id, "--json"), ("audit",), ("audit", "--json")):
        found = headgate("keys", *command, code=0).out
        assert id in found
        assert secret[16:] not in found


def test_everything_can_be_said_and_taken_back(headgate: Command) -> None:
    key = made(
        headgate,
        *("--name", "app", "--owner", "o", "--team", "t", "--user", "u", "--tag", "a", "--tag", "b", "--scope", "completions:read"),
        *("--model", "openai/*", "--expires-in", "24h", "--max-output", "9", "--rpm", "1", "--tpm", "2", "--input-tpm", "3"),
        *("--output-tpm", "4", "--concurrency", "5", "--budget", "2.5", "--window", "day", "--action", "clamp", "--recording", "record"),
    )
    assert key["limits"] == {"rpm": 1, "tpm": 2, "input_tpm": 3, "output_tpm": 4, "concurrency": 5}
    assert key["budget"] == {"usd": "2.50", "window": "day", "action": "clamp"}
    assert (key["tags"], key["scopes"], key["models"], key["max_output"]) == (["a", "b"], ["completions:read"], ["openai/*"], 9)
    id = str(key["id"])
    less = headgate(
        "keys", "limit", id, "--budget", "7", "--no", "rpm", "--no", "tag", "--no", "expires", "--disable", "--json", code=0
    ).json()
    assert less["limits"] == {"tpm": 2, "input_tpm": 3, "output_tpm": 4, "concurrency": 5}
    assert less["budget"] == {"usd": "7.00", "window": "day", "action": "clamp"}
    assert (less["tags"], less["expires"], less["status"]) == ([], None, "disabled")
    last = headgate("keys", "limit", id, "--enable", "--no", "budget", "--json", code=0).json()
    assert (last["status"], last["budget"]) == ("active", None)


def test_rotation_and_revocation(headgate: Command) -> None:
    key = made(headgate)
    id = str(key["id"])
    other = headgate("keys", "rotate", id, "--overlap", "1h", "--json", code=0).json()
    assert other["key"] != key["key"]
    assert other["old_secret_until"] is not None
    assert headgate("keys", "revoke", id, code=0).out == f"revoked {id}\n"
    assert id not in headgate("keys", "ls", code=0).out
    assert id in headgate("keys", "ls", "--all", code=0).out
    assert "revoked for good" in headgate("keys", "rotate", id, code=2).err


def test_a_key_is_brought_along_from_standard_input(headgate: Command, pipe: Callable[[bytes], None]) -> None:
    secret = "gs_test_" + "x" * 32
    pipe(f"{secret}\n".encode())
    done = headgate("keys", "create", "--import", "--quiet", code=0)
    assert done.out.strip() == secret
    assert "already" in headgate("keys", "create", "--import", code=2).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--scope", "nothing"), "there is no scope 'nothing'"),
        (("create", "--scope", "admin", "--scope", "completions:read"), "not both in one key"),
        (("create", "--window", "day"), "belong to a budget"),
        (("create", "--budget", "1", "--window", "year"), "budget must be"),
        (("create", "--budget", "-1"), "greater than zero"),
        (("create", "--team", "a b"), "team must be"),
        (("limit", "x"), "there is no key 'x'"),
        (("show", "x"), "there is no key 'x'"),
    ],
)
def test_what_cannot_be(headgate: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in headgate("keys", *arguments, code=2).err


def test_a_change_of_nothing(headgate: Command) -> None:
    id = str(made(headgate)["id"])
    assert "nothing to change" in headgate("keys", "limit", id, code=2).err
    assert "--no colour is not possible" in headgate("keys", "limit", id, "--no", "colour", code=2).err


def test_a_trail_that_was_altered_is_told(headgate: Command) -> None:
    made(headgate, "--name", "app")
    with closing(load_parts().ledger()) as ledger:
        ledger.database.write_now(lambda connection: connection.execute("DROP TRIGGER audit_is_not_changed").rowcount)
        ledger.database.write_now(lambda connection: connection.execute("UPDATE audit SET text = replace(text, 'app', 'apt')").rowcount)
    done = headgate("keys", "audit", code=1)
    assert "entry 1 is not what was written" in done.err


def test_keys_of_the_settings(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_ADMIN_KEY", "short")
    with opened_keys(load_parts()) as store, pytest.raises(ConfigError, match="HEADGATE_ADMIN_KEY"):
        key_ring(load_parts(), store, None)
    with pytest.raises(ConfigError, match="the same key"):
        fixed_keys(Secret("the-very-same-key-0"), Secret("the-very-same-key-0"))
    assert [principal.scopes for _, principal in fixed_keys(None, Secret("x" * 16))] == [frozenset({"admin"})]
    monkeypatch.setenv("HEADGATE_PEPPER", "too-short")
    with pytest.raises(ConfigError, match="HEADGATE_PEPPER"), opened_keys(load_parts()):
        pass
    monkeypatch.setenv("HEADGATE_PEPPER", "another-pepper-of-at-least-32-characters")
    with pytest.raises(ConfigError, match="another pepper"), opened_keys(load_parts()):
        pass
