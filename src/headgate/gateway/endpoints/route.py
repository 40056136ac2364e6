"""``POST /v1/route/explain``: whom a request would be sent to, and why not to others. No call is made, and no turn is taken."""

from __future__ import annotations

from headgate.gateway.asking import Ask, check_model, open_body, read_field
from headgate.gateway.labels import SESSION_HEADER
from headgate.gateway.parts import GatewayParts
from headgate.gateway.planning import foreseen
from headgate.gateway.query import values_in
from headgate.router.explain import explain_plan
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response


class RouteExplain:
    """The endpoint. It takes the body of a chat or embedding request of any surface; the query may name the model (``?model=``)."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    async def __call__(self, request: Request) -> Response:
        """Answer with the plan, as this bearer would get it.

        Raises `Refused` for a malformed request or a model the bearer may not call, `Unsupported` for a routing block that cannot be,
        `ConfigError` for an unknown model.
        """
        body = await request.body()
        fields = open_body(body)
        query = values_in(request.query)
        model = read_field(fields, "model", str) or query.get("model", [""])[0]
        if model:
            check_model(model)
        operation = query.get("operation", ["chat"])[0]
        if operation not in ("chat", "embed"):
            raise Refused(400, "operation must be chat or embed", code="invalid_type", param="operation")
        ask = Ask(body, fields, model, stream=False)
        wish, plan = foreseen(
            self._parts, request.principal, ask, "embed" if operation == "embed" else "chat", session=request.header(SESSION_HEADER)
        )
        return json_response(explain_plan(plan, wish))
