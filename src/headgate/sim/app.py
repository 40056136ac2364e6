"""From a request to what the server is to write: routing, authentication, faults, execution."""

from __future__ import annotations

import re
import threading

import msgspec

from headgate.errors import WireError
from headgate.sim import control, faults, spoil
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.faults_bytes import Drip, Early, Edit, Encoded, Events, Framing, Headers, Informational, Insert, Patch, Raw, Stall
from headgate.sim.render import REASONS, Manner
from headgate.sim.world import Call, Entry, Route, Wire, World
from headgate.wire.json import Json, decode


class Delivery(msgspec.Struct, frozen=True):
    """What the server writes and how it spoils it.

    `answer` None closes the connection without a byte. `delay` and `gap` are real seconds before the answer and between events;
    `stop_after` ends the connection after that many bytes on the wire, `body_limit` after that many of the body; `open_end` leaves the
    stream's terminator out; `reset` ends with RST instead of FIN; `huge` streams that many bytes; `close` ends a kept connection; `raw` is
    written in place of an HTTP answer; `before` precedes it; `manner`, `drip` and `stall` say how the bytes are framed and paced.
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
    raw: bytes | None = None
    before: bytes = b""
    manner: Manner = Manner()
    drip: Drip | None = None
    stall: Stall | None = None


class _Compiled(msgspec.Struct, frozen=True):
    method: str
    pattern: re.Pattern[str]
    wire: Wire
    route: Route


def _compile(wire: Wire, route: Route) -> _Compiled:
    body = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(route.pattern))
    body = re.sub(r"\\\{(\w+)\\\.\\\.\\\.\\\}", r"(?P<\1>.+)", body)
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
            known = ", ".join(f"/{wire.name}{wire.base}" for wire in self._wires.values())
            hint = f"no provider at {request.path}; known: {known} and /_sim/health"
            return Delivery(answer_json({"error": hint}, status=404))
        request_id = self.world.new_uuid() if wire.uuids else self.world.new_id(wire.request_id_prefix, 24)
        found = self._find(request)
        if found is None:
            problem = Problem("not_found", f"Invalid URL ({request.method} {request.path})")
            return Delivery(_signed(wire, request_id, wire.refuse(problem, request_id, request)))
        route, params = found
        body = _decoded(request) if request.method == "POST" else None
        operation = _operation(route, body)
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
            instead = _instead(actions)
            if instead is not None:
                return _reframed(instead, actions)
            call.twist = next((action.answer for action in actions if isinstance(action, faults.Twist)), None)
            call.script = tuple(action for action in actions if isinstance(action, faults.Rows | faults.BatchEnd))
            answer = route.handler(call)
        except Problem as problem:
            return _reframed(Delivery(wire.refuse(problem, call.request_id, call.request), delay=_delay(actions)), actions)
        if settings.on_executed is not None:
            settings.on_executed(call.entry.seq, call.operation)
        latency = settings.latency if call.operation in ("chat", "stream") else 0.0
        whole = Delivery(answer, delay=latency + _delay(actions), gap=settings.event_gap)
        for action in actions:
            whole = _spoil(wire, whole, action, call.request_id)
        return _reframed(whole, actions)

    def early(self, method: str, path: str, headers: dict[str, str]) -> Delivery | None:
        """What is answered before a request's body is read, if a script says so; the request is then not served."""
        with self.lock:
            if not self.world.script.refuses_early:
                return None
            request = Request(method, path, {}, headers, b"")
            wire, found = self._wires.get(path[1:].partition("/")[0]), self._find(request)
            if wire is None or found is None:
                return None
            operation = found[0].operation
            actions = self.world.script.fire(wire.name, operation, None, early=True)
            refusal = next((action for action in actions if isinstance(action, Early)), None)
            if refusal is None:
                return None
            self.world.seq += 1
            request_id = self.world.new_uuid() if wire.uuids else self.world.new_id(wire.request_id_prefix, 24)
            answer = wire.refuse(Problem(refusal.error, status=refusal.status), request_id, request)
            entry = Entry(self.world.seq, self.world.clock.now(), wire.name, operation, "", status=answer.status, request_id=request_id)
            self.world.journal.append(entry)
            return Delivery(_signed(wire, request_id, answer), entry, close=True)


def _operation(route: Route, body: Json) -> str:
    """What a request is, for the fault script and the journal."""
    if not isinstance(body, dict):
        return route.operation
    if route.sort is not None:
        return route.sort(body)
    return "stream" if route.chat and body.get("stream", route.streams) is True else route.operation


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
        if isinstance(action, Raw):
            return Delivery(None, raw=spoil.latin(action.data), delay=_delay(actions))
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
        problem = Problem(action.error)
        sent = answer.events[: action.events]
        told = (wire.stream_error(problem, request_id),) if answer.failure is None else answer.failure(problem, len(sent))
        broken = (*sent, *told)
        return change(delivery, answer=change(answer, events=broken))
    return delivery


def _reframed(delivery: Delivery, actions: tuple[faults.Action, ...]) -> Delivery:
    """Apply the faults of bytes, which befall refusals as well."""
    for action in actions:
        delivery = _with_bytes(delivery, action)
    return delivery


def _with_bytes(delivery: Delivery, action: faults.Action) -> Delivery:
    """Apply one fault of bytes; any other action changes nothing."""
    change, answer = msgspec.structs.replace, delivery.answer
    if answer is None:
        return delivery
    match action:
        case Patch():
            return change(delivery, answer=spoil.patch(answer, action))
        case Edit():
            return change(delivery, answer=spoil.edit(answer, action))
        case Events():
            return change(delivery, answer=spoil.events(answer, action))
        case Insert():
            return change(delivery, answer=spoil.insert(answer, action))
        case Encoded():
            return change(delivery, answer=spoil.encoded(answer, action))
        case _:
            return _with_manner(delivery, action)


def _with_manner(delivery: Delivery, action: faults.Action) -> Delivery:
    """How the bytes are framed and paced."""
    change, manner = msgspec.structs.replace, delivery.manner
    match action:
        case Drip():
            return change(delivery, drip=action)
        case Stall():
            return change(delivery, stall=action)
        case Framing():
            return change(delivery, manner=change(manner, framing=action.how))
        case Headers():
            return change(delivery, manner=change(manner, headers=(*manner.headers, action)))
        case Informational():
            line = f"HTTP/1.1 {action.status} {REASONS.get(action.status, 'Early')}\r\n\r\n".encode()
            return change(delivery, before=delivery.before + line * action.times)
        case _:
            return delivery
