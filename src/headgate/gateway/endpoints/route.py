"""``POST /v1/route/explain``: whom a request would be sent to, and why not to others. No call is made, and no turn is taken."""

from __future__ import annotations

from collections.abc import Callable

from headgate.gateway.asking import check_model, open_body, read_field
from headgate.gateway.query import values_in
from headgate.router import Router
from headgate.router.explain import explain_plan
from headgate.router.reading import read_wish
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response

SESSION = "x-headgate-session"
"""Request header that names the conversation, for routes that are sticky by session."""


class RouteExplain:
    """The endpoint. It takes the body of a chat or embedding request of any surface; the model may also stand in the query (``?model=``).

    `clock` is the monotonic clock the router lives by.
    """

    def __init__(self, router: Router, clock: Callable[[], float]) -> None:
        self._router = router
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        """Answer with the plan.

        Raises `Refused` for a malformed request, `Unsupported` for a routing block that cannot be, `ConfigError` for an unknown model.
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
        wish = read_wish(
            body,
            fields,
            model=model,
            operation="embed" if operation == "embed" else "chat",
            session=request.header(SESSION),
        )
        return json_response(explain_plan(self._router.explain(wish, self._clock()), wish))
