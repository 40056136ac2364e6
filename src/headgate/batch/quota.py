"""Calls of a run under the limits of its providers and models, which other processes may share, and under what providers say is left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from headgate.batch.control import Control
from headgate.client import Target
from headgate.domain.usage import Usage
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Full
from headgate.ledger.upstream_quota import quotas_of, tells_quotas

PATIENCE = 30.0
"""Seconds that a call stands in line before it asks again."""
LEAST_WAIT = 0.05


class Quota:
    """The limits that one target's calls count for."""

    def __init__(self, limiter: Limiter, target: Target, control: Control) -> None:
        provider, model = target.provider.name, target.model
        self._limiter = limiter
        self._control = control
        self._account = f"deployment:{provider}/{target.credential.account}/{model}"
        self._subjects = (self._account, f"provider:{provider}", f"model:{provider}/{model}")

    async def admit(self, input_tokens: int, output_tokens: int) -> Permit | Full:
        """Wait until a call with so many tokens fits. A `Full` says that it never will. Raises `Pausing` when the run stops."""
        while True:
            self._control.check()
            until = time.monotonic() + PATIENCE
            in_line = self._limiter.admit_within(self._subjects, 1, input_tokens, output_tokens, until)
            found = await self._control.finish(in_line, 0.0)
            if isinstance(found, Permit) or found.retry_after is None:
                return found
            await self._control.sleep(max(LEAST_WAIT, min(found.retry_after, PATIENCE)))

    def heard(self, headers: Mapping[str, str]) -> None:
        """What an answer's headers say is left of the provider's own limits: calls wait before they would be refused."""
        if tells_quotas(headers):
            self._limiter.heard(self._account, quotas_of(headers, time.time()), time.monotonic())


def end(permit: Permit, usage: Usage | None, reserved: tuple[int, int]) -> None:
    """The call is over: what it used counts, or all that was reserved where that is not known (`reserved`: input, output)."""
    if usage is None:
        permit.end(*reserved)
    else:
        permit.end(usage.input_total, usage.output_total)
