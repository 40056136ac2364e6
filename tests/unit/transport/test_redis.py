"""A connection to Redis: batches, deadlines, a new connection after a failure; no password in any message."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import pytest

from headgate.config import Secret
from headgate.errors import ConfigError, StoreError
from headgate.transport.redis import Redis, RedisAddress, eviction_policy, parse_redis_url
from headgate.wire.resp import RespError

Reply = Callable[[bytes], bytes | None]


def with_server(reply: Reply, main: Callable[[RedisAddress], Awaitable[None]], login: str = "") -> list[bytes]:
    """Run `main` against a server that answers what came with what `reply` says, None to hang up; what it was sent."""
    seen: list[bytes] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            seen.append(data)
            answer = reply(data)
            if answer is None:
                self.transport.close()
            else:
                self.transport.write(answer)

    async def whole() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await main(parse_redis_url(Secret(f"redis://{login}127.0.0.1:{port}/{1 if login else ''}")))
        server.close()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(whole())
    return seen


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://localhost", ("localhost", 6379, 0, False)),
        ("redis://:s%40crimson@h:7000/3", ("h", 7000, 3, False)),
        ("rediss://me:crimson@h", ("h", 6379, 0, True)),
    ],
)
def test_addresses(url: str, wanted: tuple[object, ...]) -> None:
    address = parse_redis_url(Secret(url))
    assert (address.host, address.port, address.database, address.tls) == wanted
    assert "crimson" not in repr(address)


@pytest.mark.parametrize("url", ["http://h", "redis://", "redis://h/x", "redis://h:99999", "redis://h?a=b", "h:6379"])
def test_wrong_addresses(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url must be"):
        parse_redis_url(Secret(url))


def test_a_batch_is_sent_at_once_and_answered_in_order() -> None:
    async def main(address: RedisAddress) -> None:
        redis = Redis(address)
        assert await redis.run([("A",), ("B", 1)]) == [1, RespError("ERR unknown")]
        await redis.close()

    seen = with_server(lambda data: b":1\r\n-ERR unknown\r\n", main)
    assert seen == [b"*1\r\n$1\r\nA\r\n*2\r\n$1\r\nB\r\n$1\r\n1\r\n"]


def test_it_says_who_it_is_first() -> None:
    async def main(address: RedisAddress) -> None:
        redis = Redis(address)
        assert await redis.run([("A",)]) == ["OK"]
        await redis.close()

    seen = with_server(lambda data: b"+OK\r\n" * data.count(b"*"), main, "me:ge%40eim@")
    assert seen[0] == b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nge@eim\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer within"),
        (None, "the connection was closed"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not a Redis reply"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
        (b"-READONLY You can't write against a read only replica.\r\n", "READONLY"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_batch_gets_a_new_connection(answer: bytes | None, why: str) -> None:
    broken = True

    async def main(address: RedisAddress) -> None:
        nonlocal broken
        redis = Redis(address)
        with pytest.raises(StoreError, match=why) as caught:
            await redis.run([("A",)])
        assert caught.value.hint is not None and "redis-cli" in caught.value.hint
        broken = False
        assert await redis.run([("A",)]) == [1]
        await redis.close()

    with_server(lambda data: answer if broken else b":1\r\n", main)


def test_a_wrong_password_is_told_without_it() -> None:
    async def main(address: RedisAddress) -> None:
        with pytest.raises(StoreError, match="WRONGPASS") as caught:
            await Redis(address).run([("A",)])
        assert "geheim" not in str(caught.value) + repr(address)

    with_server(lambda data: b"-WRONGPASS invalid username-password pair\r\n" * data.count(b"*"), main, "me:geheim@")


def test_nobody_there() -> None:
    async def main() -> None:
        with pytest.raises(StoreError):
            await Redis(parse_redis_url(Secret("redis://127.0.0.1:1"))).run([("A",)])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "policy"), [(b"*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n", "noeviction"), (b"*0\r\n", None)]
)
def test_the_policy_of_eviction(answer: bytes, policy: str | None) -> None:
    async def main(address: RedisAddress) -> None:
        assert await eviction_policy(address) == policy

    with_server(lambda data: answer, main)


@pytest.mark.service
def test_a_real_server(service_url: Callable[[str], str]) -> None:
    async def main() -> None:
        redis = Redis(parse_redis_url(Secret(service_url("redis"))), timeout=2.0)
        key = f"headgate:test:{secrets.token_hex(8)}"
        replies = await redis.run([("DEL", key), ("INCRBY", key, 5), ("GET", key), ("EVAL", "return {1, 'a', false}", 0), ("DEL", key)])
        assert replies[1:] == [5, b"5", [1, b"a", None], 1]
        await redis.close()
        assert await eviction_policy(redis.address)

    asyncio.run(main())
