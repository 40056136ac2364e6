"""Where calls go: wires, paths, hosts, signatures, and keys that run out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import msgspec
import pytest

from headgate.catalog.cards import ModelCard
from headgate.client import Credential, Target, Token, TokenSource, filled, make_origin
from headgate.client.target import conceal_key, refusal, secrets_of
from headgate.config import Secret
from headgate.dialects import anthropic_messages, bedrock_anthropic, openai_chat
from headgate.domain.capabilities import Capabilities
from headgate.errors import ConfigError, ErrorKind
from headgate.providers.base import Auth, Outgoing, Provider, Variable
from headgate.transport.settings import parse_origin
from headgate.wire.http import Download, Headers, Send


def route(path: str, model: str, variables: Mapping[str, str]) -> str:
    return f"/{variables['region']}/{model}{path}"


def sign(key: str, call: Outgoing) -> Headers:
    return (("authorization", f"{key[:2]}|{call.method} {call.host}{call.path}|{call.service}|{call.body!r}"),)


PROVIDER = Provider(
    name="acme",
    label="Acme",
    base_url="https://{region}.acme.example/v1",
    chat=openai_chat.DIALECT,
    surfaces=(anthropic_messages.DIALECT,),
    auth=Auth(header="authorization", prefix="Bearer ", env=("ACME_KEY",)),
    variables=(Variable(name="region", env=("ACME_REGION",)),),
    hosts=(("files", "https://files.acme.example"),),
)
VARIABLES = {"region": "north"}


def target(provider: Provider = PROVIDER, key: str = "key-of-acme", card: ModelCard | None = None) -> Target:
    origin = make_origin(provider, None, None, None, VARIABLES)
    hosts = {name: parse_origin(url) for name, url in provider.hosts}
    return Target(provider, "m/1", Credential("main", Secret(key)), origin, card, VARIABLES, hosts)


def test_variables_fill_the_address() -> None:
    assert target().origin.url == "https://north.acme.example/v1"
    assert filled("{a}/{b}", {"a": "1"}) == "1/{b}"


def test_a_route_rewrites_the_paths_of_the_own_host_only() -> None:
    routed = target(msgspec.structs.replace(PROVIDER, route=route))
    assert routed.placed(Send("POST", "/chat")).path == "/north/m/1/chat"
    assert routed.placed(Send("GET", "/a", host="files")).path == "/a"
    assert routed.placed(Send("GET", "https://north.acme.example/up")).path == "https://north.acme.example/up"
    assert target().placed(Send("POST", "/chat")).path == "/chat"


def test_a_call_names_its_host() -> None:
    assert target().address(Send("GET", "/a")).host == "north.acme.example"
    assert target().address(Download("GET", "/a", host="files")).host == "files.acme.example"
    with pytest.raises(ConfigError, match="no address for moon"):
        target().address(Send("GET", "/a", host="moon"))


def test_a_signer_sees_the_call_as_it_leaves() -> None:
    signed = target(msgspec.structs.replace(PROVIDER, auth=Auth(header="authorization", env=("K",), sign=sign)), "AK:secret")
    assert dict(signed.headers(Send("POST", "/x?y=1", b"{}")))["authorization"] == "AK|POST north.acme.example/v1/x?y=1||b'{}'"
    assert dict(signed.headers(Download("GET", "/f", host="files")))["authorization"] == "AK|GET files.acme.example/f|files|b''"
    whole = dict(signed.headers(Send("GET", "https://north.acme.example/up?part=2")))["authorization"]
    assert whole == "AK|GET north.acme.example/up?part=2||b''"


def test_without_a_key_no_header_is_sent() -> None:
    assert target(key="").headers(Send("GET", "/a"), "r1") == (("x-client-request-id", "r1"),)


def test_the_wire_is_the_one_chosen_then_the_cards_then_the_providers() -> None:
    bound = target(card=ModelCard(id="m/1", display_name="M", surface="anthropic_messages"))
    assert target().chat.name == "openai_chat"
    assert target().on("anthropic_messages").chat.name == "anthropic_messages"
    assert target().on("gemini_generate").chat.name == "openai_chat"
    assert bound.chat.name == bound.on("openai_chat").chat.name == "anthropic_messages"


def test_a_provider_says_what_models_without_a_card_can_do() -> None:
    sheet = Capabilities(context=4096)
    assert target(msgspec.structs.replace(PROVIDER, capabilities=sheet)).capabilities == sheet


def test_no_part_of_a_composed_key_is_shown() -> None:
    signed = target(
        msgspec.structs.replace(PROVIDER, auth=Auth(header="authorization", parts=("A", "B"), sign=sign)), "AKIAEXAMPLE:very-secret-part"
    )
    assert [secret.reveal() for secret in secrets_of(signed)] == ["very-secret-part"]
    assert b"very-secret-part" not in conceal_key(signed, b"signed with very-secret-part")


def test_a_dummy_key_spoils_no_answer() -> None:
    assert conceal_key(target(key="test"), b'{"error": "a test"}') == b'{"error": "a test"}'
    assert b"key-of-acme" not in conceal_key(target(), b'{"error": "key-of-acme is wrong"}')


def test_tokens_are_fetched_once_and_again_before_they_end() -> None:
    now, fetched = [1000.0], []

    def fetch() -> Token:
        fetched.append(threading.current_thread())
        return Token(Secret(f"token-{len(fetched)}"), now[0] + 300.0)

    source = TokenSource(fetch, lambda: now[0])

    async def several() -> list[str]:
        return [secret.reveal() for secret in await asyncio.gather(*(source.current() for _ in range(20)))]

    assert asyncio.run(several()) == ["token-1"] * 20
    now[0] += 239.0
    assert asyncio.run(several()) == ["token-1"] * 20
    now[0] += 2.0
    assert asyncio.run(several()) == ["token-2"] * 20
    assert len(fetched) == 2
    assert threading.main_thread() not in fetched


def test_a_refused_token_is_fetched_anew() -> None:
    tokens = iter(("one", "two"))
    source = TokenSource(lambda: Token(Secret(next(tokens))))
    waiting = msgspec.structs.replace(target(), credential=Credential("main", Secret(""), source))
    ready = asyncio.run(waiting.ready())
    assert ready.credential.key.reveal() == "one"
    error = refusal(ready, 401, {}, b"{}", 0.0)
    assert error.kind is ErrorKind.AUTH and error.hint == "check the key in ACME_KEY (account 'main')"
    assert asyncio.run(waiting.ready()).credential.key.reveal() == "two"
    source.refused(Secret("one"))
    assert asyncio.run(waiting.ready()).credential.key.reveal() == "two"


def test_a_target_with_a_lasting_key_is_ready_as_it_is() -> None:
    lasting = target()
    assert asyncio.run(lasting.ready()) is lasting


def test_a_wire_in_another_frame_is_taken_where_it_serves_the_model() -> None:
    def serves(wire: str, model: str) -> bool:
        return wire != "bedrock_anthropic" or "anthropic." in model

    framed = msgspec.structs.replace(PROVIDER, surfaces=(bedrock_anthropic.DIALECT,), serves=serves)
    claude = msgspec.structs.replace(target(framed), model="eu.anthropic.claude-x-v1:0")
    assert claude.on("anthropic_messages").chat.name == "bedrock_anthropic"
    assert claude.chat.name == target(framed).on("anthropic_messages").chat.name == "openai_chat"


def test_a_composed_key_out_of_one_variable_is_masked_in_its_parts() -> None:
    signed = target(
        msgspec.structs.replace(PROVIDER, auth=Auth(header="authorization", env=("WHOLE",), sign=sign)), "AKIAEXAMPLE:very-secret:token"
    )
    assert [secret.reveal() for secret in secrets_of(signed)] == ["very-secret", "token"]


def test_however_many_wait_one_thread_fetches() -> None:
    begun, go = threading.Event(), threading.Event()
    running: list[int] = []

    def fetch() -> Token:
        begun.set()
        assert go.wait(10)
        return Token(Secret("token"))

    source = TokenSource(fetch)

    async def several() -> set[str]:
        waiting = [asyncio.create_task(source.current()) for _ in range(50)]
        assert await asyncio.to_thread(begun.wait, 10), "another thread is free while a fetch is under way"
        waiting[0].cancel()
        running.append(sum("asyncio" in thread.name for thread in threading.enumerate()))
        go.set()
        return {secret.reveal() for secret in await asyncio.gather(*waiting[1:])}

    assert asyncio.run(several()) == {"token"}
    assert running[0] <= 2


def test_a_fetch_that_fails_is_told_to_all_and_tried_again() -> None:
    outcomes: list[Token | ConfigError] = [ConfigError("no token today"), Token(Secret("late"))]

    def fetch() -> Token:
        found = outcomes.pop(0)
        if isinstance(found, ConfigError):
            raise found
        return found

    source = TokenSource(fetch)

    async def several() -> list[Secret | BaseException]:
        return await asyncio.gather(*(source.current() for _ in range(5)), return_exceptions=True)

    assert [str(error) for error in asyncio.run(several())] == ["no token today"] * 5
    assert [secret.reveal() for secret in asyncio.run(several()) if isinstance(secret, Secret)] == ["late"] * 5


def test_tokens_that_are_born_expired_are_used_once_each() -> None:
    numbers = iter(range(100))
    source = TokenSource(lambda: Token(Secret(f"t{next(numbers)}"), 0.0), lambda: 1000.0)
    assert [asyncio.run(source.current()).reveal() for _ in range(3)] == ["t0", "t1", "t2"]


def test_several_loops_share_one_token() -> None:
    numbers = iter(range(100))
    source = TokenSource(lambda: Token(Secret(f"t{next(numbers)}")))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(source.current()).reveal())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["t0"] * 8
