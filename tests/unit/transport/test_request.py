from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import WireError
from headgate.transport.request import OWN_HEADERS, HeadRenderer, connect_head
from headgate.transport.settings import Origin

ORIGIN = Origin("https", "api.example", 443, "/v1")


def render(method: str = "POST", path: str = "/chat", headers: tuple[tuple[str, str], ...] = (), length: int | None = 2) -> str:
    return HeadRenderer(ORIGIN, "headgate/1").render(method, path, headers, length).decode("latin-1")


def test_the_whole_head() -> None:
    assert render(headers=(("x-api-key", "k"),)) == (
        "POST /v1/chat HTTP/1.1\r\nHost: api.example\r\nAccept-Encoding: identity\r\nUser-Agent: headgate/1\r\n"
        "x-api-key: k\r\nContent-Length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "length", "expected"),
    [("GET", 0, None), ("DELETE", 0, None), ("POST", 0, "0"), ("PUT", 0, "0"), ("DELETE", 3, "3"), ("GET", None, None)],
)
def test_content_length_is_sent_where_a_body_is_expected(method: str, length: int | None, expected: str | None) -> None:
    head = render(method, length=length)
    assert ("Content-Length: " in head) == (expected is not None)
    if expected is not None:
        assert f"\r\nContent-Length: {expected}\r\n" in head


def test_a_caller_may_name_another_agent() -> None:
    assert render(headers=(("User-Agent", "mine"),)).count("ser-Agent") == 1


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a?b=c", "/v1/a?b=c"),
        ("https://api.example/v1/results?x=1", "/v1/results?x=1"),
        ("https://API.example:443/other", "/other"),
        ("https://api.example", "/"),
    ],
)
def test_targets(path: str, target: str) -> None:
    assert render(path=path).startswith(f"POST {target} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "path",
    [
        "http://api.example/v1",
        "https://api.example:444/v1",
        "https://evil.example/v1",
        "https://api.example@evil.example/",
        "https://api.example\\@evil.example/",
        "https://user@api.example/",
        "//evil.example/",
        "file:///etc/passwd",
        "chat",
        "",
    ],
)
def test_a_foreign_url_is_never_called(path: str) -> None:
    if path.startswith("//"):
        assert render(path=path).startswith("POST /v1//evil.example/ HTTP/1.1\r\nHost: api.example\r\n")
    else:
        with pytest.raises(WireError):
            render(path=path)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/é", "/\0", "/a\tb"])
def test_a_path_that_breaks_the_request_line(path: str) -> None:
    with pytest.raises(WireError):
        render(path=path)


@pytest.mark.parametrize("method", ["", "get", "GET /", "G\r\n"])
def test_a_method_that_breaks_the_request_line(method: str) -> None:
    with pytest.raises(WireError):
        render(method)


@pytest.mark.parametrize("name", sorted(OWN_HEADERS))
def test_headers_of_the_connection_are_ours(name: str) -> None:
    for spelling in (name, name.title()):
        with pytest.raises(WireError, match="set by the transport"):
            render(headers=((spelling, "x"),))


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=4))
def test_whatever_is_rendered_holds_exactly_the_headers_given(headers: list[tuple[str, str]]) -> None:
    try:
        head = render(headers=tuple(headers))
    except WireError as error:
        assert error.fault == "local"
        return
    lines = head.split("\r\n")
    assert lines[-2:] == ["", ""]
    assert len(lines) == 7 + len(headers) - any(name.lower() == "user-agent" for name, _ in headers)
    assert not any("\r" in line or "\n" in line for line in lines)
    for name, value in headers:
        assert f"{name}: {value}" in lines


def test_proxied_heads() -> None:
    plain = Origin("http", "api.example", 8080, proxy="http://u:p@proxy.example:3128")
    head = HeadRenderer(plain, "headgate").render("GET", "/x", (), None)
    assert head.startswith(b"GET http://api.example:8080/x HTTP/1.1\r\nHost: api.example:8080\r\n")
    assert b"Proxy-Authorization: Basic dTpw\r\n" in head
    assert connect_head(Origin("https", "::1", 443, proxy="http://proxy.example:3128")) == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/models/../projects/other",
        "/a/./b",
        "/a/..",
        "/..?x=1",
        "/a/%2e%2E/b",
        "/model/a%2F..%2Fb/converse",
        "/a%5c..%5cb",
        "/a/../../b:generate",
    ],
)
def test_a_path_never_steps_to_another_place(path: str) -> None:
    with pytest.raises(WireError, match="step to another place"):
        render(path=path)


@pytest.mark.parametrize("path", ["/a/...", "/a..b", "/v1.0/x", "/models/gpt-4.1", "/a?next=/../x", "/m/..b", "/m/.b"])
def test_dots_in_names_are_no_steps(path: str) -> None:
    assert render(path=path)
