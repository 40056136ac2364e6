"""OpenAI Responses: what the routes do, and the responses an account has stored."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from headgate.sim import responses_answer, responses_wire
from headgate.sim.bill import Tokens
from headgate.sim.dice import HEX
from headgate.sim.exchange import SSE_UTF8, Answer, Problem, answer_json, whole
from headgate.sim.openai_wire import CONTEXT_WINDOW, cached_tokens
from headgate.sim.responder import prompt_tokens
from headgate.sim.responses_answer import Said, Shape
from headgate.sim.world import Call, Handler, StoredResponse
from headgate.wire.json import JsonObject

PAGE = 20
LARGEST_PAGE = 100


def plain(said: Said, body: JsonObject) -> JsonObject:
    """A response object as OpenAI writes it."""
    return body


def create_as(shape: Shape, *, padded: bool = True) -> Handler:
    """``POST /v1/responses``, its answers in a provider's own look."""

    def create(call: Call) -> Answer:
        said = replace(execute(call, shape), padded=padded)
        call.charge(said.wanted.ask.model, said.tokens, said.id)
        body = responses_answer.whole(said)
        if said.wanted.stored:
            _store(call, said, body)
        headers = (("openai-version", "2020-10-01"), ("openai-processing-ms", "1"))
        if not said.wanted.stream:
            return answer_json(body, headers=headers)
        events = tuple(responses_answer.events(said))
        return Answer(events=events, content_type=SSE_UTF8, headers=headers, failure=partial(responses_answer.failure, said))

    return create


create = create_as(plain)


def execute(call: Call, shape: Shape = plain) -> Said:
    """Let the model answer. Raises `Problem` when the prompt does not fit or what it follows is not known."""
    body = call.json()
    before = body.get("previous_response_id")
    wanted = responses_wire.parse(body, () if before is None else _followed(call, before).items)
    prompt = prompt_tokens(wanted.ask)
    if prompt > CONTEXT_WINDOW:
        message = "Your input exceeds the context window of this model. Please adjust your input and try again."
        raise Problem("context_length", message, param="input")
    reply = call.reply(wanted.ask)
    cached = cached_tokens(call, wanted.ask, prompt)
    return Said(
        id=call.world.new_id("resp_", 50, HEX),
        created=int(call.now),
        wanted=wanted,
        reply=reply,
        items=tuple(responses_answer.output_items(wanted, reply, lambda prefix: _item_id(call, prefix))),
        tokens=Tokens(input=prompt - cached, cache_read=cached, output=reply.output, reasoning=reply.reasoning),
        previous=before,
        shape=shape,
    )


def _item_id(call: Call, prefix: str) -> str:
    return call.world.new_id(prefix, 24) if prefix == "call_" else call.world.new_id(prefix, 50, HEX)


def _followed(call: Call, name: object) -> StoredResponse:
    found = call.world.responses.get(str(name))
    if found is None or found.owner != (call.provider, call.account):
        message = f"Previous response with id '{name}' not found."
        raise Problem("bad_request", message, code="previous_response_not_found", param="previous_response_id")
    return found


def _store(call: Call, said: Said, body: JsonObject) -> None:
    """Keep the response with everything said up to it."""
    before = () if said.previous is None else _followed(call, said.previous).items
    given = tuple(_named(call, item) for item in said.wanted.items)
    owner = (call.provider, call.account)
    call.world.responses[said.id] = StoredResponse(owner, body, (*before, *given), (*before, *given, *said.items))


def _named(call: Call, item: JsonObject) -> JsonObject:
    """An input item with an id and a content of parts, as it is listed."""
    content = item.get("content")
    named = {"id": call.world.new_id("msg_", 50, HEX), "type": "message", **item}
    if isinstance(content, str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        named["content"] = [{"type": kind, "text": content}]
    return named


def _stored(call: Call) -> StoredResponse:
    name = call.params["response"]
    found = call.world.responses.get(name)
    if found is None or found.owner != (call.provider, call.account):
        raise Problem("not_found", f"Response with id '{name}' not found.")
    return found


def get(call: Call) -> Answer:
    """``GET /v1/responses/{response}``."""
    return answer_json(_stored(call).body)


def delete(call: Call) -> Answer:
    """``DELETE /v1/responses/{response}``."""
    name = _stored(call).body["id"]
    del call.world.responses[name]
    return answer_json({"id": name, "object": "response.deleted", "deleted": True})


def input_items(call: Call) -> Answer:
    """``GET /v1/responses/{response}/input_items``: newest first unless ``order=asc``, `limit` at a time from `after` on."""
    items = list(_stored(call).given)
    query = call.request.query
    if query.get("order", "desc") != "asc":
        items.reverse()
    start = next((index + 1 for index, item in enumerate(items) if item["id"] == query.get("after")), 0)
    limit = whole(query.get("limit"), PAGE, 1, LARGEST_PAGE, "limit")
    page = items[start : start + limit]
    names = [item["id"] for item in page] or [""]
    more = start + limit < len(items)
    return answer_json({"object": "list", "data": page, "first_id": names[0], "last_id": names[-1], "has_more": more})


def input_tokens(call: Call) -> Answer:
    """``POST /v1/responses/input_tokens``."""
    body = call.json()
    before = body.get("previous_response_id")
    wanted = responses_wire.parse(body, () if before is None else _followed(call, before).items)
    return answer_json({"object": "response.input_tokens", "input_tokens": prompt_tokens(wanted.ask)})
