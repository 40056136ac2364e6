"""Each check of a set-up, with one that passes and one that does not."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import time
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from headgate.assembly import doctor
from headgate.assembly.doctor import Check, examine
from headgate.assembly.parts import load_parts
from headgate.config import Secret
from headgate.ledger.journal import Journal
from headgate.transport.redis import RedisAddress

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")

Usage = namedtuple("Usage", "total used free")


def found(name: str) -> list[Check]:
    """The findings under one name."""
    return [check for check in examine(load_parts()) if check.name == name]


def only(name: str) -> Check:
    (check,) = found(name)
    return check


def test_every_finding_that_is_not_fine_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_GATEWAY_PROT", "1")
    checks = examine(load_parts())
    assert len(checks) >= 10
    assert not [check for check in checks if check.level != "ok" and not check.fix]
    assert not [check for check in checks if check.level == "fail"]


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only("python").level == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert only("python") == Check("python", "fail", "3.10.4", "install Python 3.11 or newer")


@pytest.mark.parametrize(("version", "level"), [((3, 40, 1), "warn"), ((3, 51, 3), "ok"), ((4, 0, 0), "ok")])
def test_sqlite(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], level: str) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert only("sqlite").level == level


@pytest.mark.parametrize(("policy", "level"), [("noeviction", "ok"), (None, "ok"), ("allkeys-lru", "warn")])
def test_redis(monkeypatch: pytest.MonkeyPatch, policy: str | None, level: str) -> None:
    async def answer(address: RedisAddress) -> str | None:
        return policy

    assert not found("redis")
    monkeypatch.setattr(doctor, "eviction_policy", answer)
    monkeypatch.setenv("HEADGATE_REDIS_URL", "redis://:a-long-password@127.0.0.1:7000/1")
    check = only("redis")
    assert check.level == level
    assert "127.0.0.1:7000/1" in check.message


def test_a_redis_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_REDIS_URL", "redis://:a-long-password@127.0.0.1:1")
    check = only("redis")
    assert check.level == "fail" and "redis-cli" in check.fix
    assert "a-long-password" not in repr(examine(load_parts()))


def test_settings_are_told_with_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_GATEWAY_PORT", "7001")
    assert Check("settings", "ok", "gateway_port = 7001 (environment HEADGATE_GATEWAY_PORT)") in found("settings")


def test_a_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_GATEWAY_PROT", "7001")
    (warning,) = [check for check in found("settings") if check.level == "warn"]
    assert "did you mean HEADGATE_GATEWAY_PORT?" in warning.message


def test_no_key() -> None:
    assert only("key openai") == Check("key openai", "warn", "none set", "export OPENAI_API_KEY=…")
    assert found("key sim-openai") == []


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwxyz0123456789")
    assert only("key openai").level == "ok"
    assert "ghijklmnopqrstuvwxyz" not in str(examine(load_parts()))


@pytest.mark.parametrize("value", ["two words", "sk-\x01", "sk-é", " "])
def test_a_key_that_cannot_be_sent(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", value)
    check = only("key anthropic")
    assert check.level == "fail"
    assert "ANTHROPIC_API_KEY" in check.message
    assert found("keys") == []


def test_a_key_of_an_unusual_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "sk-looks-like-another-providers")
    assert only("key gemini").level == "ok"
    assert "does not begin with 'AIza'" in only("keys").message


def test_two_keys_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-one")
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-two")
    assert "GEMINI_API_KEY differs from environment GOOGLE_API_KEY" in only("keys").message


def test_folders(headgate_environment: Path) -> None:
    assert only("data folder").level == "ok"
    assert str(headgate_environment / "data") in only("data folder").message
    assert str(headgate_environment / "runs") in only("run folder").message
    assert not (headgate_environment / "data").exists(), "looking makes nothing"


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, headgate_environment: Path) -> None:
    def denied(path: Path, mode: int) -> bool:
        return not (mode & os.W_OK and Path(path) == headgate_environment)

    monkeypatch.setattr(os, "access", denied)
    check = only("data folder")
    assert (check.level, check.fix) == ("fail", f"chmod u+w {headgate_environment}")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 1 << 20))
    assert only("data folder").level == "warn"
    assert "0.0 GiB free" in only("data folder").message


def test_a_dotenv_others_can_read(headgate_environment: Path) -> None:
    dotenv = headgate_environment / ".env"
    dotenv.write_text("OPENAI_API_KEY=sk-one\n")
    dotenv.chmod(0o644)
    assert only(".env").fix == f"chmod 600 {dotenv}"
    dotenv.chmod(0o600)
    assert found(".env") == []


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("HEADGATE_GATEWAY_PORT", str(port))
        assert only(f"port {port}") == Check(f"port {port}", "warn", "in use: the gateway cannot take it", "choose another with --port")
    assert only(f"port {port}").level == "ok"


def certificates(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str | None) -> Check:
    """The finding for a certificate file with this content (None: there is no such file)."""
    path = folder / "authorities.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("HEADGATE_CA_FILE", str(path))
    return only("certificates")


def test_certificates() -> None:
    assert only("certificates").level == "ok"


@pytest.mark.parametrize("text", [None, "", "no certificate at all"], ids=["missing", "empty", "nonsense"])
def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, headgate_environment: Path, text: str | None) -> None:
    check = certificates(monkeypatch, headgate_environment, text)
    assert check.level == "fail"
    assert "authorities.pem cannot be read" in check.message


def test_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = doctor.ssl.get_default_verify_paths()._replace(capath=None, cafile=None)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(doctor.ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(doctor.ssl, "create_default_context", lambda cafile: doctor.ssl.SSLContext(doctor.ssl.PROTOCOL_TLS_CLIENT))
    assert only("certificates").level == "fail"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_that_is_not_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    assert found("proxy") == []
    monkeypatch.setenv(name, "http://10.0.0.1:3128")
    assert only("proxy").level == "warn"
    monkeypatch.setenv("HEADGATE_PROXY", "http://user:secret@10.0.0.1:3128")
    assert only("proxy").level == "ok"
    assert "secret" not in str(examine(load_parts()))


@pytest.mark.parametrize(("days", "level"), [(0, "ok"), (doctor.OLD_PRICES_DAYS + 400, "warn")])
def test_old_prices(monkeypatch: pytest.MonkeyPatch, days: int, level: str) -> None:
    now = time.time() + days * 86400
    monkeypatch.setattr(doctor.time, "time", lambda: now)
    assert found("prices")[0].level == level


def test_a_check_never_leaves_a_trace(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a check opened a connection")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    before = sorted(path.name for path in headgate_environment.iterdir())
    examine(load_parts())
    assert sorted(path.name for path in headgate_environment.iterdir()) == before


def test_a_file_as_database() -> None:
    assert only("database") == Check("database", "ok", f"SQLite file {load_parts().settings.ledger_file}")


def test_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HEADGATE_DATABASE_URL", f"postgresql://u:hush-hush@127.0.0.1:{unused.getsockname()[1]}/x")
        check = only("database")
    assert check.level == "fail"
    assert "cannot be reached" in check.message
    assert "psql" in check.fix
    assert "hush" not in f"{check}"


@pytest.mark.service
def test_a_database_that_answers(monkeypatch: pytest.MonkeyPatch, postgres_url: Secret) -> None:
    monkeypatch.setenv("HEADGATE_DATABASE_URL", postgres_url.reveal())
    check = only("database")
    assert check.level == "ok"
    assert check.message.startswith("PostgreSQL 1")
    with closing(load_parts().ledger()) as ledger:
        assert ledger.database.dialect == "postgresql"
        assert ledger.totals() == ()


def test_what_opens_more_than_the_defaults_do_is_pointed_at(tmp_path: Path) -> None:
    assert found("danger") == []
    (tmp_path / "headgate.yaml").write_text("gateway_host: 0.0.0.0\ngateway: {metrics: open, store_prompts: true}\n")
    assert [(check.level, check.fix) for check in found("danger")] == [
        ("warn", "put TLS before it"),
        ("warn", "set gateway.metrics: key"),
        ("warn", "set gateway.store_prompts: false"),
    ]


def test_routes_and_budgets() -> None:
    assert not found("budget")
    Path("headgate.yaml").write_text(
        "routes: {chat: {deployments: [sim-openai/sim-small], fallback: [openai/gpt-4o]}}\n"
        "budgets: [{scope: global, limit_usd: '50', window: month}]\n"
        "limits: [{subject: 'key:*', rpm: 60}]\n"
    )
    route = only("route chat")
    assert (route.level, route.message) == ("warn", "1 of 2 deployments can be called") and "openai/gpt-4o: no key" in route.fix
    assert only("budget").message == "global/month: at most $50.00 per month (block)"
    assert only("limits") == Check("limits", "ok", "key:*")


def test_journals_that_were_left() -> None:
    parts = load_parts()
    assert not found("journal")
    journal = Journal(parts.settings.data_dir / "journal", "p1", slots=4)
    assert not found("journal")
    journal.leave()
    assert only("journal").level == "warn"
