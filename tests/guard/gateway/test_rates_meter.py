from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from guard.gateway.clinic import Clock
from leadapron.guard.gateway import meter as module
from leadapron.guard.gateway.meter import Bounds, ForDimse, ForWeb, Kind, Meter, Over
from leadapron.guard.policy.decide import parse_policy


def test_who_is_not_known_may_nothing() -> None:
    meter = Meter(lambda who: None, clock=Clock())
    assert not any(meter.allow("CT1", kind) for kind in Kind)
    assert not meter.retrieved("CT1", "1.2.3")
    assert meter.results("CT1").reached
    assert meter.alarms() == ()


def test_the_bounds_are_the_policys_and_change_with_it() -> None:
    def policy(more: str) -> str:
        return f'[[guard.peer]]\nname = "WS1"\nae = "WS1"\n{more}\n'

    current = parse_policy(policy("studies_per_hour = 2\nmax_results = 3\nrequests_per_minute = 10"))
    meter = Meter(lambda who: current.rules(who), clock=Clock())
    assert [meter.retrieved("WS1", uid) for uid in ("1.1", "1.2", "1.1", "1.3")] == [True, True, True, False]
    assert meter.results("WS1").cap == 3
    assert meter.allow("WS1", Kind.QUERY)
    assert not meter.allow("WS1", Kind.QUERY)
    current = parse_policy(policy("studies_per_hour = 3"))
    assert meter.retrieved("WS1", "1.3")
    assert not meter.retrieved("WS1", "1.4")
    assert meter.allow("WS1", Kind.QUERY)
    current = parse_policy("")
    assert not meter.retrieved("WS1", "1.1")


def test_too_many_requests_wait_and_are_called_once() -> None:
    clock = Clock()
    meter = Meter(lambda who: Bounds(requests_per_minute=10), clock=clock)
    assert meter.allow("WS1", Kind.ECHO)
    over = meter.allow("WS1", Kind.RETRIEVE)
    assert isinstance(over, Over) and 0 < over.wait_s <= 6
    assert not meter.allow("WS1", Kind.OTHER)
    (alarm,) = meter.alarms()
    assert (alarm.measure, alarm.rule, alarm.bound) == ("requests", "cap", 10)
    assert meter.alarms() == ()
    assert meter.allow("WS2", Kind.ECHO)  # another's business
    clock.seconds += over.wait_s + 0.001
    assert meter.allow("WS1", Kind.ECHO)


def test_single_objects_are_no_matter_of_requests() -> None:
    meter = Meter(lambda who: Bounds(requests_per_minute=1), clock=Clock())
    assert all(meter.allow("CT1", kind) for _ in range(500) for kind in (Kind.STORE, Kind.OBJECT))


def test_a_request_for_too_many_studies_counts_none() -> None:
    meter = Meter(lambda who: Bounds(studies_per_hour=5), clock=Clock())
    assert not meter.retrieved("WS1", *(f"1.{number}" for number in range(6)))
    (alarm,) = meter.alarms()
    assert (alarm.rule, alarm.measure, alarm.count, alarm.bound) == ("cap", "studies", 6, 5)
    assert alarm.text == "WS1: refused, its 5 studies an hour are used up"
    assert meter.retrieved("WS1", *(f"1.{number}" for number in range(5)))


@given(st.lists(st.tuples(st.sampled_from(("C-GET", "C-MOVE", "WADO")), st.integers(0, 30)), max_size=200))
def test_one_cap_over_every_way_of_retrieving(steps: list[tuple[str, int]]) -> None:
    meter = Meter(lambda who: Bounds(studies_per_hour=10), clock=Clock())
    relay = ForDimse(meter)
    got = set()
    for way, number in steps:
        uid = f"1.2.{number}"
        if meter.retrieved("WS1", uid) if way == "WADO" else relay.retrieved("WS1", [uid], 10):
            got.add(uid)
    assert len(got) <= 10
    assert (len({number for _, number in steps}) > 10) is bool(meter.alarms())


def test_memory_is_bounded_by_names(monkeypatch: object) -> None:
    meter = Meter(lambda who: Bounds(), clock=Clock())
    most = module.MAX_NAMES
    try:
        module.MAX_NAMES = 10  # type: ignore[misc]
        for number in range(50):
            meter.retrieved(f"WS{number}", "1.2.3")
            meter.allow(f"WS{number}", Kind.STORE)
        assert len(meter._states) == 10
        assert len({who for who, _ in meter._watch._tallies}) == 10
    finally:
        module.MAX_NAMES = most  # type: ignore[misc]


def test_the_relay_asks_for_one_request_of_any_kind() -> None:
    relay = ForDimse(Meter(lambda who: Bounds(requests_per_minute=10), clock=Clock()))
    assert relay.request("WS1", 10, "other")
    assert not relay.request("WS1", 10, "other")


def test_one_retrieval_over_the_web_that_is_refused_counts_nothing_and_alarms_once() -> None:
    """Of somebody who is known to open few: what is refused must not be told as unusual, too."""
    clock = Clock()
    meter = Meter(lambda _: Bounds(studies_per_hour=50), clock=clock)
    web = ForWeb(meter, 50)
    for day in range(20):
        for study in range(5):
            assert web.retrieved("anna", [f"1.{day}.{study}"])
        clock.seconds += 24 * 3600
    assert meter.alarms() == ()
    assert not web.retrieved("anna", [f"2.{study}" for study in range(120)])
    (alarm,) = meter.alarms()
    assert (alarm.rule, alarm.count, alarm.bound) == ("cap", 120, 50)
    assert web.retrieved("anna", [f"2.{study}" for study in range(40)]), "what was refused was counted"


@given(st.lists(st.tuples(st.sampled_from(["WS1", "web:anna"]), st.integers(0, 9), st.integers(0, 2000)), max_size=30))
def test_a_restart_gives_nobody_a_new_hour(done: list[tuple[str, int, int]]) -> None:
    """The studies of the last hour count on in the next process, whose monotonic clock is another."""

    before = Clock()

    class Later(Clock):
        """Goes on with ``before``, and began to count later."""

        def monotonic(self) -> float:
            return before.seconds - began

        def now(self) -> datetime:
            return before.now()

    meter = Meter(lambda _: Bounds(studies_per_hour=5), clock=before, key=bytes(32))
    for who, study, pause in done:
        meter.retrieved(who, f"1.{study}")
        before.seconds += pause
    began = before.seconds - 5.0
    again = Meter(lambda _: Bounds(studies_per_hour=5), clock=Later(), key=bytes(32))
    again.take(meter.state())
    for pause in (0, 1800, 1800):
        before.seconds += pause
        for who in ("WS1", "web:anna"):
            for study in range(12):
                assert meter.retrieved(who, f"1.{study}") == again.retrieved(who, f"1.{study}")


def test_what_is_no_state_is_passed_over() -> None:
    meter = Meter(lambda _: Bounds(), clock=Clock(), key=bytes(32))
    for state in (b"", b"\xff", b"\x91\x01", bytes(100)):
        meter.take(state)
    assert meter.retrieved("WS1", "1.2")
    assert b"1.2" not in meter.state() and not meter.changed
