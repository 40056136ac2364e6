"""From a request to what the server is to write: routing, authentication, faults, execution."""

from __future__ import annotations

import re
import threading

import msgspec

from headgate.errors import WireError
from headgate.sim import control, faults
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.world import Call, Entry, Route, Wire, World
from headgate.wire.json import Json, decode


class Delivery(msgspec.Struct, frozen=True):
    """What the server writes and how it spoils it.

    `answer` None closes the connection without a byte. `delay` and `gap` are real seconds before the answer and between events;
    `stop_after` ends the connection after that many bytes on the wire, `body_limit` after that many of the body; `open_end` leaves the
    stream's terminator out; `reset` ends with RST instead of FIN; `huge` streams that many bytes; `close` ends a kept connection.
    """

    answer: Answer | None
    entry: Entry | None = None
    delay: float = 0.0
    gap: float = 0.0
    stop_after: int | None = None
    body_limit: int | None = None
    open_end: bool = False
    reset: bool = False
    huge: int = 0
    close: bool = False


class _Compiled(msgspec.Struct, frozen=True):
    method: str
    pattern: re.Pattern[str]
    wire: Wire
    route: Route


def _compile(wire: Wire, route: Route) -> _Compiled:
    body = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(route.pattern))
    return _Compiled(route.method, re.compile(f"/{wire.name}{body}/?"), wire, route)


class App:
    """Serves requests one at a time; `lock` guards the world for readers in other threads."""

    def __init__(self, world: World, wires: tuple[Wire, ...]) -> None:
        self.world = world
        self.lock = threading.RLock()
        self._wires = {wire.name: wire for wire in wires}
        self._routes = [_compile(wire, route) for wire in wires for route in wire.routes]
        self._exact = {
            (route.method, f"/{wire.name}{route.pattern}"): (wire, route)
            for wire in wires
            for route in wire.routes
            if "{" not in route.pattern
        }

    def handle(self, request: Request) -> Delivery:
        """Serve one request."""
        with self.lock:
            if request.path.startswith("/_sim/"):
                return Delivery(control.handle(self.world, request))
            return self._provider(request)

    def _provider(self, request: Request) -> Delivery:
        wire = self._wires.get(request.path[1:].partition("/")[0])
        if wire is None:
            hint = f"no provider at {request.path}; try /openai/v1, /anthropic/v1, /gemini/v1beta or /_sim/health"
            return Delivery(answer_json({"error": hint}, status=404))
        request_id = self.world.new_id(wire.request_id_prefix, 24)
        found = self._find(request)
        if found is None:
            problem = Problem("not_found", f"Invalid URL ({request.method} {request.path})")
            return Delivery(_signed(wire, request_id, wire.refuse(problem, request_id, request)))
        route, params = found
        body = _decoded(request) if request.method == "POST" else None
        operation = "stream" if route.chat and isinstance(body, dict) and body.get("stream") is True else route.operation
        self.world.seq += 1
        theirs = request.headers.get("x-client-request-id")
        entry = Entry(self.world.seq, self.world.clock.now(), wire.name, operation, "", request_id=request_id, client_request_id=theirs)
        self.world.journal.append(entry)
        call = Call(self.world, request, wire.name, operation, "", params, entry, body=body, request_id=request_id)
        delivery = self._run(wire, route, call)
        answer = delivery.answer
        entry.status = None if answer is None else answer.status
        return delivery if answer is None else msgspec.structs.replace(delivery, answer=_signed(wire, request_id, answer), entry=entry)

    def _find(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        exact = self._exact.get((request.method, request.path))
        if exact is not None:
            return exact[1], {}
        for known in self._routes:
            match = known.pattern.fullmatch(request.path) if known.method == request.method else None
            if match is not None:
                return known.route, match.groupdict()
        return None

    def _run(self, wire: Wire, route: Route, call: Call) -> Delivery:
        """Authenticate, let the faults act, execute; hooks run around the execution."""
        settings = self.world.settings
        if settings.on_request is not None:
            settings.on_request(call.entry.seq, call.operation)
        actions: tuple[faults.Action, ...] = ()
        try:
            call.account = call.entry.key = wire.authenticate(call.request)
            call.entry.model = _model(call)
            actions = self.world.script.fire(call.provider, call.operation, call.entry.model)
            early = _instead(actions)
            if early is not None:
                return early
            call.twist = next((action.answer for action in actions if isinstance(action, faults.Twist)), None)
            call.script = tuple(action for action in actions if isinstance(action, faults.Rows | faults.BatchEnd))
            answer = route.handler(call)
        except Problem as problem:
            return Delivery(wire.refuse(problem, call.request_id, call.request), delay=_delay(actions))
        if settings.on_executed is not None:
            settings.on_executed(call.entry.seq, call.operation)
        latency = settings.latency if call.operation in ("chat", "stream") else 0.0
        whole = Delivery(answer, delay=latency + _delay(actions), gap=settings.event_gap)
        for action in actions:
            whole = _spoil(wire, whole, action, call.request_id)
        return whole


def _decoded(request: Request) -> Json:
    """The JSON body, or None when it is something else; handlers that need one refuse."""
    if not request.body or "json" not in request.headers.get("content-type", "json"):
        return None
    try:
        return decode(request.body)
    except WireError:
        return None


def _model(call: Call) -> str | None:
    named = call.params.get("model") or (call.body.get("model") if isinstance(call.body, dict) else None)
    return named if isinstance(named, str) else None


def _signed(wire: Wire, request_id: str, answer: Answer) -> Answer:
    """The answer with the provider's request-id header, where it has one."""
    if not wire.request_id_header:
        return answer
    return msgspec.structs.replace(answer, headers=(*answer.headers, (wire.request_id_header, request_id)))


def _delay(actions: tuple[faults.Action, ...]) -> float:
    return sum(action.seconds for action in actions if isinstance(action, faults.Delay))


def _instead(actions: tuple[faults.Action, ...]) -> Delivery | None:
    """What is answered without executing anything; raises `Problem` for a scripted refusal."""
    for action in actions:
        if isinstance(action, faults.Status):
            raise Problem(action.error, action.message, status=action.status, retry_after=action.retry_after)
        if isinstance(action, faults.Reset) and action.after_bytes is None:
            return Delivery(None, reset=True, delay=_delay(actions))
        if isinstance(action, faults.Garbage):
            answer = Answer(status=action.status, body=action.body.encode(), content_type=action.content_type)
            return Delivery(answer, delay=_delay(actions))
        if isinstance(action, faults.Huge):
            return Delivery(Answer(), huge=action.bytes, delay=_delay(actions))
    return None


def _spoil(wire: Wire, delivery: Delivery, action: faults.Action, request_id: str) -> Delivery:
    """Apply one fault to an executed answer."""
    change = msgspec.structs.replace
    answer = delivery.answer
    if answer is None:
        return delivery
    if isinstance(action, faults.DropReply):
        return change(delivery, answer=None)
    if isinstance(action, faults.CloseAfter):
        return change(delivery, close=True)
    if isinstance(action, faults.Reset):
        return change(delivery, stop_after=action.after_bytes, reset=True)
    if isinstance(action, faults.Truncate):
        return change(delivery, body_limit=action.bytes)
    if isinstance(action, faults.CutStream) and answer.events is not None:
        return change(delivery, answer=change(answer, events=answer.events[: action.events]), open_end=True)
    if isinstance(action, faults.StreamError) and answer.events is not None:
        broken = (*answer.events[: action.events], wire.stream_error(Problem(action.error), request_id))
        return change(delivery, answer=change(answer, events=broken))
    return delivery
