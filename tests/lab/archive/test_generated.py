"""The arithmetic of made-up archives against brute force."""

from __future__ import annotations

from datetime import date, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_brute import answers, asked, studies, study

from leadapron.lab.archive import query as q
from leadapron.lab.archive.generated import GeneratedArchive
from leadapron.lab.archive.people import ID_STYLES, SCRIPTS
from leadapron.lab.archive.query import Query, Unanswerable
from leadapron.lab.archive.studies import Plan
from leadapron.wire import uids
from leadapron.wire.elements import decode_text

FIRST = date(2019, 12, 20)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 180))
    odd = draw(st.lists(st.sampled_from(["", "2019.12.25", "20201399", "UNKNOWN"]), unique=True, max_size=2))
    odd_dates = tuple((text, draw(st.integers(1, 9))) for text in odd)
    if sum(n for _, n in odd_dates) > count:
        odd_dates = ()
    return Plan(
        seed=draw(st.integers(0, 1 << 32)),
        studies=count,
        patients=draw(st.integers(0, 200)),
        images_mean=draw(st.sampled_from([1.0, 7.5, 300.0])),
        first=FIRST,
        last=FIRST + timedelta(days=draw(st.integers(0, 40))),
        odd_dates=odd_dates,
        odd_match=draw(st.booleans()),
        times=draw(st.sampled_from(["spread", "same", "none"])),
        script=draw(st.sampled_from(sorted(SCRIPTS))),
        ids=draw(st.sampled_from(sorted(ID_STYLES))),
        canary=draw(st.sampled_from(["", "CANARY", "ODD"])),
        series_size=draw(st.sampled_from([5, 120])),
    )


days = st.integers(-5, 50).map(lambda n: (FIRST + timedelta(days=n)).strftime("%Y%m%d"))
ranges = st.one_of(
    days,
    days.map(lambda day: day + "-"),
    days.map(lambda day: "-" + day),
    st.tuples(days, days).map("-".join),
    st.sampled_from(["2020-", "-202001", "2019", "20191232-20200100", "-"]),
)
clocks = st.tuples(st.integers(5, 23), st.integers(0, 59), st.integers(0, 59)).map(
    lambda t: "".join(f"{n:02}" for n in t)
)
times = st.one_of(
    clocks,
    clocks.map(lambda c: c + "-"),
    clocks.map(lambda c: "-" + c[:4]),
    clocks.map(lambda c: "-" + c[:2]),
    st.tuples(clocks, clocks).map("-".join),
)


def inside(value: str, asked_for: str) -> bool:
    """PS3.4 §C.2.2.2.5 on text of fixed width."""
    low, dash, high = asked_for.partition("-")
    if not dash:
        high = low
    return bool(value) and value >= low and (not high or value[: len(high)] <= high)


@given(plans())
@settings(max_examples=60, deadline=None)
def test_the_volume_is_what_can_be_listed(plan: Plan) -> None:
    archive = GeneratedArchive(plan)
    listed = studies(archive)
    volume = archive.volume
    assert len(listed) == len({s.uid for s in listed}) == volume.studies == plan.studies
    assert sum(s.images for s in listed) == volume.images
    assert sum(s.series for s in listed) == volume.series
    assert len({s.patient for s in listed}) == volume.patients
    assert all(s.images >= 1 for s in listed)
    proper = [s for s in listed if s.date.isdigit() and FIRST <= _day(s.date) <= plan.last]
    assert volume.undated == plan.studies - len(proper)
    assert all(s.uid.decode().startswith(archive.name) for s in listed)
    if plan.canary:
        assert all(plan.canary.encode() in s.patient and plan.canary.encode() in s.name for s in listed)


def _day(text: bytes) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return date.min


@given(plans(), ranges)
@settings(max_examples=120, deadline=None)
def test_date_ranges(plan: Plan, dates: str) -> None:
    archive = GeneratedArchive(plan)
    odd = {text for text, _ in plan.odd_dates}
    expected = [
        s for s in studies(archive) if inside(s.date.decode(), dates) and (plan.odd_match or s.date.decode() not in odd)
    ]
    assert [study(v) for v in answers(archive, asked("STUDY", STUDY_DATE=dates))] == expected


@given(plans(), ranges, times)
@settings(max_examples=120, deadline=None)
def test_date_ranges_with_times(plan: Plan, dates: str, clock: str) -> None:
    archive = GeneratedArchive(plan)
    odd = {text for text, _ in plan.odd_dates}
    expected = [
        s
        for s in studies(archive)
        if inside(s.date.decode(), dates) and s.date.decode() not in odd and inside(s.time.decode(), clock)
    ]
    assert [study(v) for v in answers(archive, asked("STUDY", STUDY_DATE=dates, STUDY_TIME=clock))] == expected


@given(plans(), st.data())
@settings(max_examples=60, deadline=None)
def test_unique_keys_and_wildcards(plan: Plan, data: st.DataObject) -> None:
    archive = GeneratedArchive(plan)
    listed = studies(archive)
    some = data.draw(st.lists(st.sampled_from(listed), min_size=1, max_size=4, unique=True))
    uids_asked = b"\\".join([*(s.uid for s in some), b"1.2.3", some[0].uid + b"1"]).decode()
    found = [study(v) for v in answers(archive, asked("STUDY", STUDY_INSTANCE_UID=uids_asked))]
    assert sorted(found) == sorted(some)
    one = some[0]
    by_patient = [study(v) for v in answers(archive, asked("STUDY", PATIENT_ID=one.patient.decode()))]
    assert by_patient == [s for s in listed if s.patient == one.patient]
    assert answers(archive, asked("STUDY", PATIENT_ID=one.patient.decode() + "9")) == []
    pattern = data.draw(
        st.sampled_from(["*", "*1*", "?" * len(one.patient), f"{one.patient.decode()[:-1]}?", "*9", "*X"])
    )
    by_pattern = [study(v) for v in answers(archive, asked("STUDY", PATIENT_ID=pattern))]
    assert by_pattern == [s for s in listed if fnmatchcase(s.patient.decode(), pattern)]
    name = Query("STUDY", asked("STUDY").keys, ((q.PATIENT_NAME, one.name[:2].lower() + b"*"),))
    assert [study(v) for v in answers(archive, name)] == [
        s for s in listed if s.name.lower().startswith(one.name[:2].lower())
    ]


@given(plans())
@settings(max_examples=40, deadline=None)
def test_patients(plan: Plan) -> None:
    archive = GeneratedArchive(plan)
    listed = studies(archive)
    keys = (
        (q.PATIENT_ID, "LO"),
        (q.PATIENT_STUDIES, "IS"),
        (q.PATIENT_SERIES, "IS"),
        (q.PATIENT_INSTANCES, "IS"),
    )
    told = {
        v[q.PATIENT_ID]: tuple(int(v[tag]) for tag, _ in keys[1:]) for v in answers(archive, asked("PATIENT", keys))
    }
    assert told == {
        patient: (
            sum(s.patient == patient for s in listed),
            sum(s.series for s in listed if s.patient == patient),
            sum(s.images for s in listed if s.patient == patient),
        )
        for patient in {s.patient for s in listed}
    }


def test_series_and_images_add_up() -> None:
    archive = GeneratedArchive(Plan(seed=3, studies=40, images_mean=30.0, series_size=16))
    uid_keys = ((q.STUDY_INSTANCE_UID, "UI"), (q.SERIES_INSTANCE_UID, "UI"), (q.SERIES_INSTANCES, "IS"))
    for one in studies(archive):
        series = answers(archive, asked("SERIES", uid_keys, STUDY_INSTANCE_UID=one.uid.decode()))
        assert len(series) == one.series == len({v[q.SERIES_INSTANCE_UID] for v in series})
        assert sum(int(v[q.SERIES_INSTANCES]) for v in series) == one.images
        assert {v[q.STUDY_INSTANCE_UID] for v in series} == {one.uid}
        last = series[-1]
        image_keys = (*uid_keys, (q.SOP_INSTANCE_UID, "UI"), (q.SOP_CLASS_UID, "UI"))
        images = answers(
            archive,
            asked(
                "IMAGE",
                image_keys,
                STUDY_INSTANCE_UID=one.uid.decode(),
                SERIES_INSTANCE_UID=last[q.SERIES_INSTANCE_UID].decode(),
            ),
        )
        assert len({v[q.SOP_INSTANCE_UID] for v in images}) == len(images) == int(last[q.SERIES_INSTANCES])
        everything = answers(archive, asked("IMAGE", image_keys, STUDY_INSTANCE_UID=one.uid.decode()))
        assert len(everything) == one.images
        assert all(len(v[q.SOP_INSTANCE_UID]) <= 64 for v in everything)


@pytest.mark.parametrize("level", ["SERIES", "IMAGE", "NONSENSE", ""])
def test_what_lacks_its_unique_key_is_refused(level: str) -> None:
    archive = GeneratedArchive(Plan(seed=3, studies=10))
    with pytest.raises(Unanswerable) as refusal:
        list(archive.select(asked(level)))
    assert refusal.value.status == 0xA900


@pytest.mark.parametrize("transfer_syntax", [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE])
@pytest.mark.parametrize(("max_pdu", "one_pdu"), [(0, False), (16384, True), (128, False), (64, False), (30, True)])
def test_the_answer_is_the_same_however_it_is_cut(transfer_syntax: str, max_pdu: int, one_pdu: bool) -> None:
    archive = GeneratedArchive(Plan(seed=5, studies=25, odd_dates=(("", 3), ("2019.12.25", 2)), script="japanese"))
    usual = answers(archive, asked("STUDY"))
    assert answers(archive, asked("STUDY"), transfer_syntax=transfer_syntax, max_pdu=max_pdu, one_pdu=one_pdu) == usual


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_names_can_be_read_in_their_character_set(script: str) -> None:
    archive = GeneratedArchive(Plan(seed=1, studies=50, script=script))
    for values in answers(archive, asked("STUDY")):
        family, _, given_name = decode_text(values[q.PATIENT_NAME], values[q.SPECIFIC_CHARACTER_SET]).partition("^")
        assert family.strip() in SCRIPTS[script].family.split()
        assert given_name.strip() in SCRIPTS[script].given.split()


def test_identifiers_have_the_check_digits_of_their_nation() -> None:
    for values in answers(GeneratedArchive(Plan(seed=1, studies=200, ids="tckn")), asked("STUDY")):
        digits = [int(c) for c in values[q.PATIENT_ID].decode()]
        assert len(digits) == 11 and digits[0] != 0
        assert digits[9] == (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
        assert digits[10] == sum(digits[:10]) % 10
    for values in answers(GeneratedArchive(Plan(seed=1, studies=200, ids="cpf")), asked("STUDY")):
        digits = [int(c) for c in values[q.PATIENT_ID].decode()]
        for n in (9, 10):
            weighted = sum(d * w for d, w in zip(digits, range(n + 1, 1, -1), strict=False))
            assert digits[n] == weighted * 10 % 11 % 10


def test_two_plans_differ_by_their_seed_and_equal_ones_are_equal() -> None:
    one, same, other = (GeneratedArchive(Plan(seed=seed, studies=30)) for seed in (1, 1, 2))
    assert studies(one) == studies(same)
    assert not {s.uid for s in studies(one)} & {s.uid for s in studies(other)}
    assert one.name == same.name != other.name


def test_tens_of_millions_cost_nothing_until_they_are_asked_for() -> None:
    archive = GeneratedArchive(Plan(seed=9, studies=35_000_000, patients=21_000_000))
    assert archive.volume.studies == 35_000_000 and archive.volume.patients == 21_000_000
    assert 34e6 * 30 < archive.volume.images < 36e6 * 30
    found = answers(archive, asked("STUDY", STUDY_DATE="20220105", STUDY_TIME="1200-1201"))
    assert found and all(v[q.STUDY_DATE] == b"20220105" and v[q.STUDY_TIME][:3] == b"120" for v in found)
    assert len(answers(archive, asked("STUDY", STUDY_INSTANCE_UID=found[0][q.STUDY_INSTANCE_UID].decode()))) == 1
