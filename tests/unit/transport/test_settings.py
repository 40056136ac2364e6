from __future__ import annotations

import pytest

from headgate.errors import ConfigError
from headgate.transport.settings import Origin, Proxy, parse_origin, parse_proxy


@pytest.mark.parametrize(
    ("url", "origin", "back"),
    [
        ("https://api.example/v1", Origin("https", "api.example", 443, "/v1"), "https://api.example/v1"),
        ("https://API.example:443/v1/", Origin("https", "api.example", 443, "/v1"), "https://api.example/v1"),
        ("http://127.0.0.1:8080", Origin("http", "127.0.0.1", 8080, ""), "http://127.0.0.1:8080"),
        ("http://[::1]:80/", Origin("http", "::1", 80, ""), "http://[::1]"),
        ("http://my_host/", Origin("http", "my_host", 80, ""), "http://my_host"),
    ],
)
def test_base_urls(url: str, origin: Origin, back: str) -> None:
    assert parse_origin(url) == origin
    assert origin.url == back
    assert parse_origin(back) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "https://",
        "https:///v1",
        "https://api.example:99999",
        "https://api.example:x",
        "https://sk-secret@api.example",
        "https://u:sk-secret@api.example",
        "https://api.example/?q=1",
        "https://api.example/#f",
        "https://api.example\\@evil.example",
        "https://api.example/a b",
        "https://api.example\n/",
        "https://аpi.example",
        "https://-x",
        "https://a..\t",
    ],
)
def test_what_parsers_disagree_on_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_origin(url)
    assert caught.value.hint
    assert "sk-secret" not in str(caught.value)


def test_proxies() -> None:
    assert parse_proxy("http://proxy.example:3128") == Proxy("proxy.example", 3128)
    assert parse_proxy("http://u:p@proxy.example/") == Proxy("proxy.example", 80, "u:p")
    for bad in ("https://proxy.example", "socks5://proxy.example", "proxy.example:3128", "http://proxy.example/path"):
        with pytest.raises(ConfigError):
            parse_proxy(bad)
        with pytest.raises(ConfigError):
            parse_origin("https://api.example", proxy=bad)
