"""Which endpoint serves what, and under which policy. What is allowed is read from the route that matched, never from the URL."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.serving.auth import ACCESSES, Access
from headgate.serving.envelopes import PLAIN, Refused, Surface
from headgate.serving.response import Endpoint


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    A `path` that ends in ``/*`` matches everything longer, whatever slashes the rest has; the rest is the request's only param.
    `scope` has no default: what a bearer must have (``any``: nothing but a good key), or None for a route that is open to everybody who
    reaches the port. `body_limit` is in bytes; 0 means that a body is refused unread.
    `any_host` lifts the check of the Host header, for what tells nobody anything.
    """

    method: str
    path: str
    endpoint: Endpoint
    scope: Access
    surface: Surface = PLAIN
    body_limit: int = 0
    any_host: bool = False

    def __post_init__(self) -> None:
        if self.scope not in ACCESSES:
            raise ValueError(f"{self.method} {self.path} asks for the scope {self.scope!r}, which there is not")


class Match(msgspec.Struct, frozen=True):
    """A route and the params of its path."""

    route: Route
    params: tuple[str, ...] = ()


class Routes:
    """The table. HEAD is served by the GET route of the path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._open: dict[str, dict[str, Route]] = {}
        for route in routes:
            table, path = (self._open, route.path[:-1]) if route.path.endswith("/*") else (self._exact, route.path)
            methods = table.setdefault(path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is routed twice")
            methods[route.method] = route

    @property
    def all(self) -> tuple[Route, ...]:
        """Every route."""
        return tuple(route for table in (self._exact, self._open) for methods in table.values() for route in methods.values())

    def find(self, method: str, path: str) -> Match:
        """The route for a request. Raises `Refused`: 404 for an unknown path, 405 for a method it does not have."""
        methods, params = self._methods(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise Refused(
                405, f"{method} is not possible at {path}: use {allowed}", code="method_not_allowed", headers=(("allow", allowed),)
            )
        return Match(route, params)

    def surface_of(self, path: str, method: str = "") -> Surface:
        """The surface a path belongs to, for errors about it; `PLAIN` when it belongs to none."""
        methods = self._exact.get(path) or self._open.get(self._prefix(path)) or {}
        route = methods.get(method) or next(iter(methods.values()), None)
        return PLAIN if route is None else route.surface

    def _methods(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        methods = self._exact.get(path)
        if methods is not None:
            return methods, ()
        prefix = self._prefix(path)
        if prefix and len(path) > len(prefix):
            return self._open[prefix], (path[len(prefix) :],)
        raise Refused(404, f"there is nothing at {path[:200]!r}", code="unknown_url", hint="GET /v1/models lists what can be asked")

    def _prefix(self, path: str) -> str:
        return next((prefix for prefix in self._open if path.startswith(prefix)), "")
