"""Decisions as laws: an intent is submitted once, an old batch is cancelled once, a unit is never tried for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.decide import Action, Poll, SubmissionView, decide_poll, decide_submission, decide_unit, next_delay, submit_delay
from headgate.batch.reasons import Reason
from headgate.batch.states import SUBMISSION_NEXT, Outcome, SubmissionState, UnitState
from headgate.dialects.batch import BatchHandle, BatchState, BatchStatus, Candidate

GRACE = 10.0


def view(
    state: SubmissionState = SubmissionState.INTENT, *, fresh: bool = False, rows: int = 3, intent_at: float = 100.0
) -> SubmissionView:
    return SubmissionView(state, rows, intent_at, None, fresh)


def candidate(name: str, matched_by: str = "tag", total: int | None = 3) -> Candidate:
    return Candidate(BatchHandle(name), "tag" if matched_by == "tag" else "window", total)


class World:
    """A provider and a run that crashes wherever it likes."""

    def __init__(self, tagged: bool) -> None:
        self.tagged = tagged
        self.jobs: list[str] = []
        self.intents = 0
        self.submits: dict[int, int] = {}
        self.state: SubmissionState | None = None
        self.fresh = False
        self.found: tuple[Candidate, ...] | None = None
        self.now = 0.0
        self.intent_at = 0.0

    def crash(self) -> None:
        self.fresh, self.found = False, None

    def step(self, lose_reply: bool) -> bool:
        """One decision carried out; True when the job is known."""
        seen = None if self.state is None else SubmissionView(self.state, 3, self.intent_at, None, self.fresh)
        action, found = decide_submission(seen, self.now, GRACE, self.found)
        match action:
            case Action.PROCEED:
                return True
            case Action.INTEND:
                self.state, self.fresh, self.found, self.intent_at = SubmissionState.INTENT, True, None, self.now
                self.intents += 1
            case Action.SUBMIT:
                self.submits[self.intents] = self.submits.get(self.intents, 0) + 1
                self.jobs.append(f"job-{self.intents}")
                self.fresh = False
                if not lose_reply:
                    self.state = SubmissionState.SUBMITTED
            case Action.FIND:
                kind = "tag" if self.tagged else "window"
                self.found = tuple(candidate(job, kind) for job in self.jobs)
            case Action.ADOPT:
                assert found is not None
                self.state = SubmissionState.SUBMITTED
            case Action.ABANDON:
                self.state, self.found = SubmissionState.REFUSED, None
            case _:
                self.now += GRACE
                self.found = None
        return False


@given(st.booleans(), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_one_intent_is_submitted_once_and_one_job_exists_whatever_crashes(tagged: bool, story: list[tuple[bool, bool]]) -> None:
    world = World(tagged)
    for crash, lose_reply in story:
        if crash:
            world.crash()
        if world.step(lose_reply):
            break
    while not world.step(lose_reply=False):
        pass
    assert all(count == 1 for count in world.submits.values())
    assert len(world.jobs) == 1


def test_a_job_with_our_tag_is_adopted_even_beside_others() -> None:
    found = (candidate("other", "window"), candidate("ours", "tag"))
    assert decide_submission(view(), 101.0, GRACE, found) == (Action.ADOPT, found[1])


def test_a_job_that_another_submission_owns_is_not_adopted() -> None:
    found = (candidate("taken", "window"),)
    assert decide_submission(view(), 200.0, GRACE, found, frozenset({"taken"}))[0] is Action.ABANDON


def test_two_jobs_without_tags_that_could_be_ours_mean_waiting() -> None:
    found = (candidate("a", "window"), candidate("b", "window"))
    assert decide_submission(view(), 10_000.0, GRACE, found)[0] is Action.WAIT


def test_a_job_of_another_size_is_not_ours() -> None:
    assert decide_submission(view(rows=3), 10_000.0, GRACE, (candidate("a", "window", total=4),))[0] is Action.ABANDON


def test_an_absent_job_may_still_turn_up_for_a_while() -> None:
    assert decide_submission(view(), 100.0 + GRACE - 0.1, GRACE, ())[0] is Action.WAIT
    assert decide_submission(view(), 100.0 + GRACE, GRACE, ())[0] is Action.ABANDON


@given(st.sampled_from(BatchStatus), st.floats(0, 1e6), st.booleans())
def test_a_batch_is_collected_when_it_ended_and_cancelled_once_when_too_old(status: BatchStatus, age: float, cancelled: bool) -> None:
    decision = decide_poll(BatchState(status=status, raw_status=status.value), age, 1000.0, cancelled)
    terminal = status in (BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED)
    if terminal:
        assert decision is Poll.COLLECT
    elif age <= 1000.0:
        assert decision is Poll.WAIT
    if decision is Poll.CANCEL:
        assert not cancelled and status is not BatchStatus.CANCELLING


def test_lagging_results_are_waited_for() -> None:
    state = BatchState(status=BatchStatus.COMPLETED, raw_status="completed", lagging=True)
    assert decide_poll(state, 1.0, 1000.0, False) is Poll.WAIT


@given(
    st.sampled_from([Outcome.INVALID, Outcome.ERROR, Outcome.UNKNOWN]), st.sampled_from(list(Reason)), st.integers(1, 5), st.integers(1, 5)
)
def test_a_unit_is_never_tried_for_ever(outcome: Outcome, reason: Reason, max_tries: int, max_errors: int) -> None:
    final = decide_unit(outcome, reason, max_tries, max_tries, max_errors, max_errors)
    assert final is UnitState.FAILED


def test_a_valid_answer_is_valid_and_a_lost_one_is_tried_again() -> None:
    assert decide_unit(Outcome.VALID, None, 9, 3, 0, 6) is UnitState.VALID
    assert decide_unit(Outcome.UNKNOWN, Reason.LOST, 3, 3, 5, 6) is UnitState.RETRY


@given(st.floats(0, 0.999), st.integers(1, 60))
def test_polling_slows_down_to_its_longest(jitter: float, looks: int) -> None:
    delay: float | None = None
    for _ in range(looks):
        delay = next_delay(delay, 5.0, 120.0, jitter)
        assert 4.5 <= delay <= 132.0


REFUSALS = [(1, None, 30.0), (2, None, 60.0), (9, None, 300.0), (1, 7.0, 7.0), (1, 9e9, 300.0)]


@pytest.mark.parametrize(("refusals", "hint", "expected"), REFUSALS)
def test_refused_submissions_wait_longer_each_time(refusals: int, hint: float | None, expected: float) -> None:
    assert submit_delay(refusals, hint) == expected


def test_every_state_has_a_row_and_final_ones_lead_nowhere() -> None:
    assert set(SUBMISSION_NEXT) == set(SubmissionState)
    assert not SUBMISSION_NEXT[SubmissionState.COLLECTED]


def test_a_job_that_was_lost_is_collected_before_anything_is_submitted_again() -> None:
    """It may have been worked on: its rows are booked first."""
    for state in (SubmissionState.LOST, SubmissionState.ENDED, SubmissionState.SUBMITTED):
        assert decide_submission(SubmissionView(state, 3, 0.0, "job"), 1.0, 1.0) == (Action.PROCEED, None)
