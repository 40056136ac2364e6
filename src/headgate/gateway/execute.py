"""Taking an errand to one deployment after another, until one answers or there is nobody left to ask (architecture §4).

One deadline, one owner of retries; another deployment only before the first byte of content. Whatever happens, the errand is settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from headgate.client import Target
from headgate.domain.estimate import estimate_tokens
from headgate.errors import ConfigError, ErrorKind, HeadgateError, ProviderError
from headgate.gateway.account import Refusal
from headgate.gateway.errand import Errand, Visit
from headgate.gateway.limit_marks import limit_marks
from headgate.gateway.outline import Outline
from headgate.gateway.refusals import NOT_AGAIN, advised, denied, full
from headgate.gateway.stamps import cost_text, stamps
from headgate.ledger.bounds import LEAST_OUTPUT, bound_of, fitting
from headgate.ledger.budgets import Bound, Denied
from headgate.ledger.intent import Intent
from headgate.ledger.labels import run_scope
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limits import Full
from headgate.ledger.spending import Hold
from headgate.router import Choice, Deployment, Fallback, GiveUp, Plan, Report, Retry
from headgate.router.refusal import refusal_of
from headgate.serving.envelopes import Refused, Surface, error_response
from headgate.serving.metering import error_kind
from headgate.serving.response import Answer, Response, Stream

Perform = Callable[[Visit, int | None], Awaitable[Answer]]
"""Ask the target of a visit, with at most so many tokens of output when that is not None."""
OVERHEAD = 512
"""Bytes that a request may grow by on its way to a provider: another model name, options, another spelling."""
TOOLS_OVERHEAD = 2048
"""Tokens that providers put before the definitions of tools, taken for bytes."""


class Boarding(msgspec.Struct, frozen=True):
    """A visit that may begin. `most` is a lower maximum of output, when a budget allows no more."""

    visit: Visit
    most: int | None = None


class Execution:
    """The attempts of one errand whose request is `size` bytes long. `on` chooses the wire of a target, `cheaper` are plans to fall back
    on where a budget wants that."""

    def __init__(
        self,
        errand: Errand,
        size: int,
        surface: Surface,
        perform: Perform,
        on: Callable[[Target], Target],
        cheaper: Iterable[Plan] = (),
    ) -> None:
        self._errand = errand
        self._size = size
        self._surface = surface
        self._perform = perform
        self._on = on
        self._loop = asyncio.get_running_loop()
        self._deadline = errand.clock + errand.parts.router.settings.deadline
        self._last: Visit | None = None
        self._cheaper = iter(cheaper)
        self._degrade = False

    async def run(self, first: Sequence[Choice] | None = None) -> Answer:
        """The answer. Raises `Refused` when nobody was asked; what providers failed with is answered."""
        errand = self._errand
        try:
            choices = list(errand.plan.order if first is None else first)
            if not choices:
                raise refusal_of(errand.plan)
            await self._admit()
            return await self._attempts(choices)
        except BaseException:
            errand.settle(self._last, self._loop.time())
            raise

    async def resume(self, visit: Visit, failed: HeadgateError) -> Answer:
        """Go on after `visit` has failed."""
        self._last = visit
        try:
            step = self._after(failed)
            if isinstance(step, Response):
                return step
            return await self._attempts(*await self._waited(step))
        except BaseException:
            self._errand.settle(self._last, self._loop.time())
            raise

    async def repeat(self, visit: Visit) -> Answer:
        """Ask once more within `visit`: the connection was closed before the provider heard anything."""
        self._last = visit
        try:
            return await self._perform(visit, None)
        except HeadgateError as error:
            return await self.resume(visit, error)
        except BaseException:
            self._errand.settle(self._last, self._loop.time())
            raise

    async def _admit(self) -> None:
        """Pass the limits of whoever asks, in turn where they have a queue."""
        errand = self._errand
        if errand.permit is not None:
            return
        tokens = _tokens(errand.outline, self._size)
        permit = await errand.parts.limiter.admit_within(errand.principal.subjects, 1, *tokens, self._deadline)
        if isinstance(permit, Full):
            if permit.what == "queue":
                errand.parts.count("shed", "queue", 1)
            raise full(permit, limit_marks(errand.parts, errand.principal, errand.dialect_in, self._loop.time()))
        errand.permit = permit

    async def _attempts(self, choices: list[Choice], again: bool = False) -> Answer:
        while True:
            boarding = await self._board(choices, again)
            self._last = boarding.visit
            try:
                answer = await self._hedged(boarding)
            except HeadgateError as error:
                step = self._after(error)
                if isinstance(step, Response):
                    return step
                choices, again = await self._waited(step)
            else:
                self._errand.content = isinstance(answer, Stream)
                return answer

    async def _waited(self, step: Retry | Fallback) -> tuple[list[Choice], bool]:
        """Whom to ask now, in order; and whether that is a repetition."""
        errand = self._errand
        order = errand.plan.order
        if isinstance(step, Retry):
            await asyncio.sleep(step.after)
            last = errand.tried[-1]
            return [choice for choice in order if choice.deployment.id == last], True
        rest = [choice for choice in order if choice.deployment.id not in errand.tried and choice is not step.choice]
        return [step.choice, *rest], False

    def _after(self, error: HeadgateError) -> Retry | Fallback | Response:
        """What next after a failed visit: another, or the answer that says so."""
        errand, now = self._errand, self._loop.time()
        forget_frames(error)
        cause = error.error if isinstance(error, Refusal) else error
        step = errand.parts.router.next(errand.plan, errand.tried, cause, now, self._deadline)
        if not isinstance(step, GiveUp):
            if isinstance(step, Fallback):
                errand.parts.count("fallback", error_kind(cause) or "unknown", 1)
            return step
        assert self._last is not None
        receipt = errand.settle(self._last, now)
        marks = stamps(self._last, receipt)
        answer = error.answer if isinstance(error, Refusal) else error_response(cause, self._surface, errand.id)
        return advised(answer, marks, step)

    # One visit

    async def _board(self, choices: Sequence[Choice], again: bool) -> Boarding:
        """The first visit of `choices` that may begin. Raises the first refusal when none may."""
        refused: HeadgateError | None = None
        for choice in choices:
            try:
                return await self._boarded(choice, again)
            except (Refused, ProviderError) as error:
                refused = refused or error
        if self._degrade and not self._errand.tried:
            return await self._degraded(refused)
        raise refused or refusal_of(self._errand.plan)

    async def _degraded(self, refused: HeadgateError | None) -> Boarding:
        """The first visit that a budget has room for, to a model that costs less. Raises `refused` when there is none."""
        for plan in self._cheaper:
            for choice in plan.order:
                try:
                    boarding = await self._boarded(choice, again=False)
                except (Refused, ProviderError):
                    continue
                self._errand.plan, self._errand.degraded = plan, True
                return boarding
        raise refused or refusal_of(self._errand.plan)

    async def _boarded(self, choice: Choice, again: bool) -> Boarding:
        errand, parts, deployment = self._errand, self._errand.parts, choice.deployment
        try:
            target = self._on(await parts.target(deployment).ready())
        except ConfigError as error:
            raise Refused(502, error.message, code="upstream_auth", hint=error.hint, headers=NOT_AGAIN) from error
        flight = parts.router.begin(deployment, self._loop.time(), again=again, early=errand.plan.panic)
        if flight is None:
            raise parts.router.turned_away(errand.plan, self._loop.time())
        place: Permit | None = None
        try:
            place = await self._place(deployment)
            hold, most = await self._reserved(deployment, target)
        except BaseException:
            flight.ended(UNASKED, self._loop.time(), parts.router.draw())
            if place is not None:
                place.undo()
            raise
        return Boarding(Visit(errand, deployment, target, flight, hold, place, self._loop.time()), most)

    async def _place(self, deployment: Deployment) -> Permit:
        """Pass the limits of the deployment, its model and its provider."""
        tokens = _tokens(self._errand.outline, self._size)
        permit = await self._errand.parts.limiter.admit_within(subjects_of(deployment), 1, *tokens, self._deadline)
        if isinstance(permit, Full):
            raise full(permit)
        return permit

    async def _reserved(self, deployment: Deployment, target: Target) -> tuple[Hold, int | None]:
        """Reserve the most it can cost, atomically, before anything is sent; with a lower maximum of output where a budget wants that."""
        errand = self._errand
        asked = errand.outline.max_output
        most = errand.principal.max_output if asked is None and errand.operation == "chat" else None
        found = await self._reserve(deployment, target, most if most is not None else asked)
        if isinstance(found, Denied) and found.action == "clamp" and found.reason == "exceeded" and errand.operation == "chat":
            most = self._fitting(target, most if most is not None else asked, found.left_nanos)
            if most is not None:
                found = await self._reserve(deployment, target, most)
        if isinstance(found, Denied):
            self._degrade = self._degrade or (found.action == "degrade" and found.reason == "exceeded")
            raise denied(found)
        return found, most

    async def _reserve(self, deployment: Deployment, target: Target, output: int | None) -> Hold | Denied:
        intent = self._intent(deployment, target, output)
        spending = self._errand.parts.spending
        return spending.reserve_now(intent) or await spending.reserve(intent)

    def _intent(self, deployment: Deployment, target: Target, output: int | None) -> Intent:
        errand = self._errand
        return Intent(
            id=errand.id,
            at=errand.at,
            principal=errand.principal,
            provider=deployment.provider,
            model=deployment.model,
            account=target.credential.account,
            bound=bound_for(errand.outline, target, errand.at, self._size, output),
            run=_run(errand),
            request_bytes=self._size,
        )

    def _fitting(self, target: Target, asked: int | None, left: int) -> int | None:
        """The longest output whose bound is at most `left`; None when none worth having is."""
        errand, most = self._errand, asked or target.capabilities.max_output or LEAST_OUTPUT
        return fitting(lambda output: bound_for(errand.outline, target, errand.at, self._size, output), most, left)

    # Asking

    async def _hedged(self, boarding: Boarding) -> Answer:
        """Ask; and where the route wants it, ask a second deployment too when the first is silent for long."""
        after = self._errand.plan.hedge
        if after is None or len(self._errand.tried) > 1:
            return await self._perform(boarding.visit, boarding.most)
        errand = self._errand
        tasks = {self._loop.create_task(_performed(self._perform(boarding.visit, boarding.most))): [boarding.visit]}
        errand.rivalry = True
        try:
            done, _ = await asyncio.wait(tasks, timeout=after)
            if not done:
                self._second(tasks, after)
            answer = await self._winner(tasks)
        finally:
            for task in tasks:
                task.cancel()
            for late in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(late, Stream):
                    await late.chunks.aclose()
            errand.rivalry = False
        return answer if isinstance(answer, Stream) else self._settled(answer)

    def _settled(self, answer: Response) -> Response:
        """The winner's answer, once the others are over too."""
        assert self._last is not None
        receipt = self._errand.settle(self._last, self._loop.time())
        cost = () if receipt is None else (("x-headgate-cost", cost_text(receipt.cost_nanos)),)
        return msgspec.structs.replace(answer, headers=(*answer.headers, *cost))

    def _second(self, tasks: dict[asyncio.Task[Answer], list[Visit]], waited: float) -> None:
        """Have a second deployment asked, if there is one."""
        errand = self._errand
        choice = errand.parts.router.hedge(errand.plan, errand.tried, waited, self._loop.time())
        if choice is not None:
            visits: list[Visit] = []
            tasks[self._loop.create_task(self._rival(choice, visits))] = visits

    async def _rival(self, choice: Choice, visits: list[Visit]) -> Answer:
        """Ask as the second, once it may be asked; the first answers meanwhile, if it can. The visit is noted in `visits`."""
        boarding = await self._boarded(choice, again=False)
        visits.append(boarding.visit)
        return await self._perform(boarding.visit, boarding.most)

    async def _winner(self, tasks: dict[asyncio.Task[Answer], list[Visit]]) -> Answer:
        """The first answer; the last error when there is none. Whoever has not answered by then is left.

        That a second may not be asked is no error: the first goes on alone.
        """
        waiting, failed = set(tasks), None
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error, visits = task.exception(), tasks[task]
                if not visits and isinstance(error, HeadgateError):
                    continue
                self._last, failed = visits[0] if visits else self._last, error
                if error is None:
                    tasks.pop(task)
                    return task.result()
        assert failed is not None
        raise failed


def forget_frames(error: BaseException | None) -> None:
    """Let go of where an error passed. Those frames hold the whole request and what holds the error itself: a circle of megabytes."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _run(errand: Errand) -> str | None:
    """The name that the budget of the errand's run is kept by."""
    run = errand.labels.run
    return None if run is None else run_scope(errand.principal, run).removeprefix("run:")


UNASKED = Report(kind=ErrorKind.CANCELLED)
"""It was not asked after all: that says nothing of its health."""


async def _performed(asking: Awaitable[Answer]) -> Answer:
    return await asking


def subjects_of(deployment: Deployment) -> tuple[str, ...]:
    """What limits of providers are counted by."""
    name = f"{deployment.provider}/{deployment.model}"
    return (f"deployment:{deployment.id}", f"provider:{deployment.provider}", f"model:{name}")


def _tokens(outline: Outline, size: int) -> tuple[int, int]:
    """Input and most output tokens, as limits count them before it is known."""
    return estimate_tokens(size), (outline.max_output or 0) * outline.choices


def bound_for(outline: Outline, target: Target, at: float, size: int, output: int | None) -> Bound:
    """The most that a request of `size` bytes can cost at a target, with `output` tokens at most for each choice."""
    if outline.unbounded:
        return Bound(None, outline.unbounded)
    grown = size + OVERHEAD + (TOOLS_OVERHEAD if "tools" in outline.needs else 0)
    return bound_of(target.card, at, grown, output, choices=outline.choices, remote=outline.media)
