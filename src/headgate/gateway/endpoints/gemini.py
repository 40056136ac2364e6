"""``POST /v1beta/models/{model}:{verb}``: Google's surface, where the path says what is wanted of which model.

Clients that take a name with a slash in it for a whole resource name leave ``models/`` out.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import Answer, Endpoint


class Gemini:
    """Hands a request to the endpoint of its verb."""

    def __init__(self, verbs: Mapping[str, Endpoint]) -> None:
        self._verbs = verbs

    async def __call__(self, request: Request) -> Answer:
        """Answer by the verb behind the last colon. Raises `Refused` (404) for one that is not served."""
        verb = request.params[0].rpartition(":")[2]
        endpoint = self._verbs.get(verb)
        if endpoint is None:
            raise Refused(404, f"there is no {verb[:100]!r} here: served are {', '.join(self._verbs)}", code="unknown_url")
        return await endpoint(request)
