"""The simulator's own API under ``/_sim/``: its bill, its journal, its faults and its clock."""

from __future__ import annotations

import msgspec

from headgate.errors import WireError
from headgate.sim import batches, faults
from headgate.sim.exchange import Answer, Request, answer_json
from headgate.sim.world import World
from headgate.wire.json import Json, decode


def handle(world: World, request: Request) -> Answer:
    """Serve one control request; 404 and 400 carry ``{"error": what}``."""
    action = _ACTIONS.get((request.method, request.path))
    if action is None:
        known = ", ".join(f"{method} {path}" for method, path in _ACTIONS)
        return answer_json({"error": f"no {request.method} {request.path}; known: {known}"}, status=404)
    try:
        body = decode(request.body) if request.body else None
        return answer_json(action(world, body))
    except (WireError, ValueError, TypeError) as error:
        return answer_json({"error": str(error)}, status=400)


def _health(world: World, body: Json) -> Json:
    return {"status": "ok", "time": world.clock.now(), "requests": world.seq}


def _bill(world: World, body: Json) -> Json:
    batches.settle_all(world)
    return world.bill.document()


def _requests(world: World, body: Json) -> Json:
    return {"requests": [msgspec.to_builtins(entry) for entry in world.journal]}


def _faults(world: World, body: Json) -> Json:
    """Replace the script: a list of rules, or ``{"rules": [...]}``."""
    rules = faults.parse(body.get("rules") if isinstance(body, dict) else body)
    world.script = faults.Script(rules, world.settings.seed)
    return {"rules": len(rules)}


def _clock(world: World, body: Json) -> Json:
    seconds = body.get("advance") if isinstance(body, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        raise ValueError('the body must be {"advance": seconds} with a number that is not negative')
    world.clock.advance(seconds)
    batches.settle_all(world)
    world.keeper.note_time(world.clock.now())
    return {"time": world.clock.now()}


def _reset(world: World, body: Json) -> Json:
    world.reset()
    return {"status": "ok"}


_ACTIONS = {
    ("GET", "/_sim/health"): _health,
    ("GET", "/_sim/bill"): _bill,
    ("GET", "/_sim/requests"): _requests,
    ("POST", "/_sim/faults"): _faults,
    ("POST", "/_sim/clock"): _clock,
    ("POST", "/_sim/reset"): _reset,
}
