"""From a step and its wording to what each wire sends: parameters, images, tools, and the schema natively or in words (OCT-82, IMP-14)."""

from __future__ import annotations

import msgspec
import pytest

from headgate.assembly.parts import load_parts
from headgate.batch.pipeline import ApiSettings, Step, StepParams, StepTool
from headgate.batch.request import FORM, cannot, settled, step_request
from headgate.batch.wording import Wording
from headgate.catalog.resolve import resolve
from headgate.client import Target
from headgate.client.chat import Prepared, prepare
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Media, Text
from headgate.domain.request import Reasoning, ResponseFormat, Tool, ToolChoice
from headgate.providers import PROVIDERS
from headgate.wire.json import Json, decode, encode

pytest_plugins = ["headgate.testing.pytest_plugin"]

SCHEMA = {"type": "object", "properties": {"zebra": {"type": "string"}}, "required": ["zebra"], "additionalProperties": False}
PNG = "iVBORw0KGgoAAAAA"
SIMULATED = [provider for provider in PROVIDERS.values() if provider.simulated]
DIALECTS = {provider.chat.name: provider.chat for provider in PROVIDERS.values()}


def prepared_request(step: Step, api: ApiSettings, target: Target, wording: Wording, schema: Json) -> Prepared:
    """The request of a run for one unit."""
    final, can = settled(step, api, target, schema)
    return prepare(target, step_request(final, api, target.model, wording, schema, can))


def asked(can: Capabilities = ANY_MODEL, wording: Wording | None = None, **params: Json) -> Json:
    step = Step("ask it", params=StepParams(**params))
    return step_request(step, ApiSettings(max_tokens=7), "m", wording or Wording("Hello\n"), SCHEMA, can)


def test_every_parameter_arrives() -> None:
    image = Media("image", mime="image/png", data=PNG)
    request = asked(
        wording=Wording("Hello", "Be kind", (image,)),
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        max_tokens=9,
        stop=("END",),
        seed=4,
        presence_penalty=-1.0,
        frequency_penalty=1.0,
        reasoning_effort="low",
        thinking_budget=100,
    )
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", (Text("Be kind"),)),
        ("user", (image, Text("Hello"))),
    ]
    assert (request.temperature, request.top_p, request.top_k, request.max_tokens, request.stop) == (0.5, 0.9, 3, 9, ("END",))
    assert (request.seed, request.presence_penalty, request.frequency_penalty) == (4, -1.0, 1.0)
    assert request.reasoning == Reasoning(effort="low", budget=100)
    assert request.response_format == ResponseFormat("json_schema", schema=SCHEMA, name="ask_it")
    assert (asked().max_tokens, asked().reasoning, asked().tools, asked().tool_choice) == (7, None, (), None)
    still = asked(Capabilities(sampling=False), temperature=0.5, top_p=0.9, top_k=3)
    assert (still.temperature, still.top_p, still.top_k) == (None, None, None)


def test_tools() -> None:
    tools = (StepTool("look", "Look it up", {"type": "object"}), StepTool("record"))
    request = asked(tools=tools, answer_tool="record")
    assert request.tools == (Tool("look", "Look it up", {"type": "object"}), Tool("record", None, SCHEMA))
    assert request.tool_choice == ToolChoice("tool", ("record",))
    assert request.response_format is None
    assert request.messages[0].content == (Text("Hello\n"),)
    for word in ("auto", "none", "required"):
        assert asked(tools=tools, answer_tool="record", tool_choice=word).tool_choice == ToolChoice(word)
    assert asked(tools=tools, tool_choice="look").tool_choice == ToolChoice("tool", ("look",))


@pytest.mark.parametrize(
    ("ability", "kind", "kind_with_tools"),
    [
        ("native", "json_schema", "json_schema"),
        ("tool", "json_schema", None),
        ("json_object", "json_object", None),
        ("none", None, None),
    ],
)
def test_the_schema_is_asked_for_as_the_model_takes_it(ability: str, kind: str | None, kind_with_tools: str | None) -> None:
    can = msgspec.structs.replace(ANY_MODEL, structured_output=ability)
    tools = (StepTool("look", None, {"type": "object"}),)
    for wanted, request in ((kind, asked(can)), (kind_with_tools, asked(can, tools=tools))):
        form = request.response_format
        assert (None if form is None else form.kind) == wanted
        (text,) = request.messages[0].content
        spoken = f"Hello{FORM}" + encode(SCHEMA).decode()
        assert text == Text("Hello\n" if wanted == "json_schema" else spoken)
    silent = asked(can, native_schema=False)
    assert (silent.response_format, silent.messages[0].content) == (None, (Text("Hello\n"),))


@pytest.mark.parametrize("ability", ["native", "tool", "json_object", "none"])
@pytest.mark.parametrize("provider", SIMULATED, ids=lambda provider: provider.name)
@pytest.mark.usefixtures("headgate_environment", "headgate_sim")
def test_no_wire_loses_the_schema(provider: Json, ability: str) -> None:
    """It stands once in the body, in the wire's own form or in the prompt; the body is that of a call and of a row of a batch."""
    target = target_of(provider.name)
    assert target.card is not None
    able = msgspec.structs.replace(target.capabilities, structured_output=ability)
    target = msgspec.structs.replace(target, card=msgspec.structs.replace(target.card, capabilities=able))
    assert target.capabilities.structured_output == ability
    ready = prepared_request(Step("ask"), ApiSettings(max_tokens=7), target, Wording("Hello"), SCHEMA)
    body = ready.body.decode()
    assert body.count("zebra") == 2
    assert not [note for note in ready.rendered.notes if note.field.startswith("response_format") and note.action == "dropped"]
    if ability != "tool":
        assert (FORM.strip() in ready.body.decode().replace("\\n", "\n")) == (ability != "native")


def target_of(provider: str, model: str = "sim-small") -> Target:
    parts = load_parts()
    return parts.target(resolve(model, provider, parts.catalog, parts.providers))


@pytest.mark.usefixtures("headgate_environment")
def test_every_model_of_the_catalog_is_told_the_schema() -> None:
    """Each card's abilities with its provider's wire: natively, or in words."""
    seen = 0
    for card in load_parts().catalog.cards:
        provider = PROVIDERS.get(card.provider)
        if provider is None or provider.chat is None:
            continue
        able = card.capabilities
        request = step_request(Step("ask"), ApiSettings(max_tokens=7), card.id, Wording("Hello"), SCHEMA, able)
        rendered = provider.chat.render_request(request, able)
        lost = [note for note in rendered.notes if note.field == "response_format" and note.action == "dropped"]
        assert (encode(rendered.payload).decode().count("zebra"), lost) == (2, []), card.id
        seen += 1
    assert seen > 100


@pytest.mark.parametrize("provider", SIMULATED, ids=lambda provider: provider.name)
@pytest.mark.usefixtures("headgate_environment", "headgate_sim")
def test_every_wire_carries_images_and_tools(provider: Json) -> None:
    step = Step("ask", params=StepParams(tools=(StepTool("record", "Write it down"),), answer_tool="record"))
    wording = Wording("Hello", "Be kind", (Media("image", mime="image/png", data=PNG),))
    body = prepared_request(step, ApiSettings(max_tokens=7), target_of(provider.name), wording, SCHEMA).body
    text = body.decode()
    assert all(part in text for part in (PNG, "Be kind", "Hello"))
    assert ("Write it down" in text) == (provider.name != "sim-ollama")
    assert text.count("zebra") == 2
    assert decode(body)


def test_what_a_model_cannot_do_at_all() -> None:
    picture, tool = Step("a", params=StepParams(images=("photo",))), Step("a", params=StepParams(tools=(StepTool("t", None, {}),)))
    assert [cannot(step, ANY_MODEL) for step in (picture, tool)] == [None, None]
    assert cannot(picture, Capabilities(vision=False)) == "takes no images"
    assert cannot(tool, Capabilities(tools=False)) == "takes no tools"
