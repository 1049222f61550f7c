"""Every persona of ``hard-cases`` does what it says, as heard by a plain visitor."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
from lab_client import QUERY_CONTEXT, SYNTAXES, Answer, Hangup, Visitor, only, until

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.lab import EndpointTruth, Neighbourhood
from leadapron.lab.archive import query as q
from leadapron.lab.personas import personas
from leadapron.lab.server.tls import authority
from leadapron.wire import uids
from leadapron.wire.aio import probe_context
from leadapron.wire.pdu import Abort, AssociateAccept, AssociateReject, ReleaseResponse, UserIdentity

Check = Callable[[EndpointTruth], Awaitable[None]]


def tls_for(truth: EndpointTruth) -> ssl.SSLContext | None:
    return probe_context() if truth.transport == "tls" else None


async def listed(truth: EndpointTruth, level: str = "STUDY", **matches: str) -> tuple[list[Answer], int]:
    """The answer to one query over one association that is released."""
    async with Visitor(truth, tls_for(truth)) as visitor:
        answer = await visitor.associate("ORTHANC" if truth.persona == "orthanc-title" else "ANY-SCP")
        assert isinstance(answer, AssociateAccept)
        found = await visitor.find(level, **matches)
        assert isinstance(await visitor.release(), ReleaseResponse)
        return found


def distinct(answers: list[Answer], tag: int) -> set[bytes]:
    return {values[tag] for _, values in answers}


def images(answers: list[Answer]) -> int:
    return sum({v[q.STUDY_INSTANCE_UID]: int(v[q.STUDY_INSTANCES]) for _, v in answers}.values())


# ---- what is to be seen ----------------------------------------------------------------------------------------------


async def everything(truth: EndpointTruth) -> None:
    """One broad query gives all studies, images and patients."""
    answers, status = await listed(truth)
    assert status == 0
    assert len(answers) == len(distinct(answers, q.STUDY_INSTANCE_UID)) == truth.studies
    assert images(answers) == truth.images
    assert len(distinct(answers, q.PATIENT_ID)) == truth.patients
    assert sum(not v[q.STUDY_DATE] for _, v in answers) <= truth.undated


def all_studies(images_said: bytes | None = None, omitted: int | None = None) -> Check:
    """All studies in one answer, whatever it says about images."""

    async def check(truth: EndpointTruth) -> None:
        answers, status = await listed(truth)
        assert status == 0
        assert len(answers) == len(distinct(answers, q.STUDY_INSTANCE_UID)) == truth.studies
        if omitted is not None:
            assert all(omitted not in values for _, values in answers)
        if images_said is not None:
            assert distinct(answers, q.STUDY_INSTANCES) == {images_said}

    return check


def limited(limit: int, final: int, answers_at_limit: int | None = None) -> Check:
    """So many answers and no more, with this status; a smaller question is answered in full."""

    async def check(truth: EndpointTruth) -> None:
        assert truth.studies is not None and truth.studies > limit
        answers, status = await listed(truth)
        assert (len(answers), status) == (limit if answers_at_limit is None else answers_at_limit, final)
        day = "20240201-20240229"
        some, status = await listed(truth, STUDY_DATE=day)
        if truth.completable and "day" not in truth.persona:
            assert status == 0 and 0 < len(some) < limit

    return check


def without_images_below(series: bool) -> Check:
    async def check(truth: EndpointTruth) -> None:
        answers, status = await listed(truth)
        assert status == 0 and len(answers) == truth.studies
        assert all(not values.get(q.STUDY_INSTANCES) for _, values in answers)
        uid = answers[0][1][q.STUDY_INSTANCE_UID].decode()
        below, _ = await listed(truth, "SERIES", STUDY_INSTANCE_UID=uid, SERIES_INSTANCE_UID="", SERIES_INSTANCES="")
        assert all((q.SERIES_INSTANCES in values) == series for _, values in below) and below

    return check


async def rows_for_files(truth: EndpointTruth) -> None:
    answers, status = await listed(truth)
    assert status == 0 and len(answers) == truth.images
    assert len(distinct(answers, q.STUDY_INSTANCE_UID)) == truth.studies


async def twice(truth: EndpointTruth) -> None:
    answers, status = await listed(truth)
    assert status == 0 and len(distinct(answers, q.STUDY_INSTANCE_UID)) == truth.studies
    assert truth.studies is not None and truth.studies < len(answers) <= truth.studies * 8 / 7 + 3


async def ignores_dates(truth: EndpointTruth) -> None:
    assert len((await listed(truth, STUDY_DATE="19000101-19000102"))[0]) == truth.studies


async def no_open_ranges(truth: EndpointTruth) -> None:
    assert await listed(truth, STUDY_DATE="20000101-") == ([], 0)
    assert len((await listed(truth, STUDY_DATE="20240101-20240630"))[0]) > 0


async def one_day(truth: EndpointTruth) -> None:
    await limited(300, 0)(truth)
    day = "20220504"
    some, _ = await listed(truth, STUDY_DATE=day, STUDY_TIME="090000-090959")
    assert 0 < len(some) < 300


async def one_moment(truth: EndpointTruth) -> None:
    some, _ = await listed(truth, STUDY_DATE="20220504", STUDY_TIME="120000")
    assert len(some) == 300
    assert await listed(truth, STUDY_DATE="20220504", STUDY_TIME="120001-") == ([], 0)


async def ignores_times(truth: EndpointTruth) -> None:
    some, _ = await listed(truth, STUDY_DATE="20220504", STUDY_TIME="030000")
    assert len(some) == 50


async def future(truth: EndpointTruth) -> None:
    assert len((await listed(truth, STUDY_DATE="20350101-20350301"))[0]) > 0


async def malformed_dates(truth: EndpointTruth) -> None:
    await everything(truth)
    dates = distinct((await listed(truth))[0], q.STUDY_DATE)
    assert {b"2019.03.12", b"UNKNOWN"} < dates
    assert b"2019.03.12" in distinct((await listed(truth, STUDY_DATE="20181231-20190101"))[0], q.STUDY_DATE)


async def pending_ff01(truth: EndpointTruth) -> None:
    await everything(truth)
    assert {status for status, _ in (await listed(truth))[0]} == {0xFF01}


async def one_pdu(truth: EndpointTruth) -> None:
    await everything(truth)
    async with Visitor(truth) as visitor:
        await visitor.associate()
        before = len(visitor.octets)
        answers, _ = await visitor.find()
        told = visitor.octets[before:]
        pdus, at = 0, 0
        while at < len(told):
            pdus, at = pdus + 1, at + 6 + int.from_bytes(told[at + 2 : at + 6], "big")
        assert pdus == len(answers) + 1


async def only_study_level(truth: EndpointTruth) -> None:
    await everything(truth)
    assert await listed(truth, "PATIENT") == ([], 0xA900)


async def patient_root(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        await visitor.associate()
        assert uids.STUDY_ROOT_FIND not in visitor.accepted()
        context = 2 * SYNTAXES.index(uids.PATIENT_ROOT_FIND) + 1
        assert await visitor.find("STUDY", context) == ([], 0xA900)
        people, status = await visitor.find("PATIENT", context)
        assert (len(people), status) == (truth.patients, 0)
        some, _ = await visitor.find("STUDY", context, PATIENT_ID=people[0][1][q.PATIENT_ID].decode())
        assert some


def never_counts(*tags: int) -> Check:
    async def check(truth: EndpointTruth) -> None:
        answers, status = await listed(truth)
        assert status == 0 and len(answers) == truth.studies
        assert all(tag not in values for tag in tags for _, values in answers)

    return check


# ---- who is turned away ----------------------------------------------------------------------------------------------


def rejected(result: int, source: int, reason: int, **key: object) -> Check:
    """Turned away so, and let in with the key, if there is one."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth, tls_for(truth)) as visitor:
            assert await visitor.associate() == AssociateReject(result, source, reason)
        if key:
            async with Visitor(truth, tls_for(truth)) as visitor:
                assert isinstance(await visitor.associate(**key), AssociateAccept)  # type: ignore[arg-type]

    return check


def refused_contexts(result: int) -> Check:
    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            answer = await visitor.associate()
            assert isinstance(answer, AssociateAccept)
            results = {context.result for context in answer.contexts[:1]}
            assert results == {result} and not visitor.accepted()

    return check


def find_refused(status: int) -> Check:
    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            assert await visitor.echo() == 0
            assert await visitor.find() == ([], status)

    return check


def accepts(*abstract_syntaxes: str) -> Check:
    """These presentation contexts and no others."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            assert visitor.accepted() == set(abstract_syntaxes)

    return check


async def wants_a_certificate(truth: EndpointTruth) -> None:
    with pytest.raises((Hangup, ssl.SSLError)):
        async with Visitor(truth, probe_context()) as visitor:
            await visitor.associate()
    known = probe_context()
    known.load_cert_chain(authority().client)
    async with Visitor(truth, known) as visitor:
        assert isinstance(await visitor.associate(), AssociateAccept)


async def called_orthanc(truth: EndpointTruth) -> None:
    await rejected(1, 1, 7)(truth)
    await everything(truth)


# ---- decoys ----------------------------------------------------------------------------------------------------------


async def dicompot(truth: EndpointTruth) -> None:
    await rows_for_files(truth)
    assert len((await listed(truth, "PATIENT"))[0]) == truth.images
    async with Visitor(truth) as visitor:
        answer = await visitor.associate(transfer=(uids.EXPLICIT_LE, uids.IMPLICIT_LE))
        assert isinstance(answer, AssociateAccept)
        assert answer.user.implementation_class_uid is None
        assert visitor.accepted() == set(SYNTAXES)
        assert {context.transfer_syntax for context in answer.contexts} == {uids.EXPLICIT_LE}


async def invented_syntax(truth: EndpointTruth) -> None:
    await everything(truth)
    await accepts(*SYNTAXES)(truth)


async def nameless(truth: EndpointTruth) -> None:
    await everything(truth)
    async with Visitor(truth) as visitor:
        await visitor.associate()
        assert visitor.accept and visitor.accept.user.implementation_class_uid is None


# ---- other services --------------------------------------------------------------------------------------------------


def says(start: bytes) -> Check:
    """Whatever the first words of a DICOM client are, the answer begins so."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            with pytest.raises((ProtocolError, Hangup)):
                await visitor.associate()
            assert visitor.octets.startswith(start)

    return check


async def web(truth: EndpointTruth) -> None:
    await says(b"HTTP/1.1 400")(truth)
    async with Visitor(truth) as visitor:
        visitor.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await visitor.hear()).startswith(b"HTTP/1.1 200 OK")


async def secure_web(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:  # who speaks plainly is told by a TLS alert
        with pytest.raises((ProtocolError, Hangup)):
            await visitor.associate()
        assert visitor.octets[:2] == b"\x15\x03"
    async with Visitor(truth, probe_context()) as visitor:
        visitor.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await visitor.hear()).startswith(b"HTTP/1.1 200 OK")


def hangs_up(reset: bool) -> Check:
    async def check(truth: EndpointTruth) -> None:
        with pytest.raises(Hangup) as end:
            async with Visitor(truth) as visitor:
                await visitor.associate()
        assert end.value.reset is reset

    return check


async def quiet(truth: EndpointTruth) -> None:
    """Nothing comes, and the connection stands: heard until a neighbour has answered twice."""
    async with Visitor(truth) as visitor:
        heard = asyncio.ensure_future(visitor.associate())
        async with Neighbourhood(only("hard-cases", "echo-only"), free_ports=True) as other:
            for _ in range(2):
                async with Visitor(other.truth[0]) as prompt:
                    await prompt.associate()
                    assert await prompt.echo() == 0
        assert not heard.done() and visitor.octets == b""
        heard.cancel()


async def drips(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        assert [await visitor.hear(1) for _ in range(2)] == [b"\x02", b"\x00"]


async def noise(truth: EndpointTruth) -> None:
    heard = []
    for _ in range(2):
        async with Visitor(truth) as visitor:
            visitor.send(b"hello")
            heard.append((await visitor.hear())[:1])
    assert heard[0] == heard[1]


# ---- breaking the protocol -------------------------------------------------------------------------------------------


def breaks(*errors: type[Exception], finds: bool) -> Check:
    """A strict reader gives up: over the accept, or (``finds``) over the answer to a query."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            if finds:
                assert isinstance(await visitor.associate(), AssociateAccept)
                with pytest.raises(errors):
                    await visitor.find()
            else:
                with pytest.raises(errors):
                    await visitor.associate()

    return check


async def accept_of_nothing(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        answer = await visitor.associate()
        assert isinstance(answer, AssociateAccept) and answer.contexts == ()


async def waits_for_more(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        heard = asyncio.ensure_future(visitor.associate())
        await until(lambda: len(visitor.octets) >= 200)
        assert not heard.done()
        heard.cancel()


async def floods(truth: EndpointTruth) -> None:
    """Megabytes without an end."""
    async with Visitor(truth) as visitor:
        assert isinstance(await visitor.associate(), AssociateAccept)
        visitor.ask()
        heard = 0
        while heard < 8 << 20:
            heard += len(await visitor.hear())


async def endless(truth: EndpointTruth) -> None:
    seen: set[bytes] = set()
    async with Visitor(truth) as visitor:
        await visitor.associate()
        visitor.ask()
        for _ in range(5000):
            _, data = await visitor.message()
            assert data
            seen.add(data)
    assert len(seen) == truth.studies


async def pending_without_identifier(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        await visitor.associate()
        with pytest.raises(AssertionError):
            await visitor.find()


async def wrong_message_ids(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        await visitor.associate()
        visitor.ask()
        command, _ = await visitor.message()
        assert command.responds_to != 9  # type: ignore[union-attr]


async def unreadable(truth: EndpointTruth) -> None:
    """Identifiers from which no study's UID can be read."""
    async with Visitor(truth) as visitor:
        await visitor.associate()
        try:
            answers, _ = await visitor.find()
        except ProtocolError:
            return
        assert all(q.STUDY_INSTANCE_UID not in values for _, values in answers) and answers


def breaks_off(after: int, reset: bool) -> Check:
    """So many answers, and the end."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            visitor.ask()
            heard = 0
            with pytest.raises(Hangup) as end:
                while True:
                    await visitor.message()
                    heard += 1
            assert (heard, end.value.reset) == (after, reset)

    return check


async def stalls(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        await visitor.associate()
        visitor.ask()
        for _ in range(25):
            await visitor.message()
        more = asyncio.ensure_future(visitor.message())
        await asyncio.wait([more], timeout=0.3)
        assert not more.done()
        more.cancel()


async def mute(truth: EndpointTruth) -> None:
    async with Visitor(truth) as visitor:
        assert isinstance(await visitor.associate(), AssociateAccept)
        for ask in (visitor.echo, visitor.find):
            heard: asyncio.Future[object] = asyncio.ensure_future(ask())
            await asyncio.wait([heard], timeout=0.2)
            assert not heard.done()
            heard.cancel()


async def reset_after_accept(truth: EndpointTruth) -> None:
    with pytest.raises(Hangup) as end:
        async with Visitor(truth) as visitor:
            assert isinstance(await visitor.associate(), AssociateAccept)
            await visitor.hear()
    assert end.value.reset


def ends_badly(answer: type[Exception] | None) -> Check:
    """Serves well, and does not answer the release."""

    async def check(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            answers, status = await visitor.find()
            assert (len(answers), status) == (truth.studies, 0)
            release = asyncio.ensure_future(visitor.release())
            await asyncio.wait([release], timeout=0.3)
            if answer is None:
                assert not release.done()
                release.cancel()
            else:
                assert isinstance(release.exception(), answer)

    return check


VERIFICATION_ONLY = accepts(uids.VERIFICATION)

EXPECTED: dict[str, Check] = {
    **dict.fromkeys([p.name for p in personas().values() if p.family == "open archives"], everything),
    # guarded
    "rejects-calling": rejected(1, 1, 3, calling="CT_ROOM_1"),
    "rejects-called": rejected(1, 1, 7, called="PACS_7F3A"),
    "needs-identity": rejected(1, 1, 1, identity=UserIdentity(2, False, b"user", b"word")),
    "rejects-everybody": rejected(1, 1, 1),
    "congested": rejected(2, 3, 1),
    "refuses-contexts": refused_contexts(3),
    "refuses-syntaxes": refused_contexts(4),
    "not-authorized": find_refused(0x0124),
    "any-scp-title": everything,
    "orthanc-title": called_orthanc,
    "tls-open": everything,
    "tls-titles": rejected(1, 1, 3, calling="CT_ROOM_1"),
    "tls-mutual": wants_a_certificate,
    # open, with little to give
    "empty": all_studies(),
    "echo-only": VERIFICATION_ONLY,
    "store-only": accepts(uids.VERIFICATION, uids.CT_IMAGE_STORAGE),
    "worklist-only": accepts(uids.VERIFICATION, uids.MODALITY_WORKLIST_FIND),
    "find-only": everything,
    "patient-root-only": patient_root,
    "find-fails": find_refused(0xC000),
    # limits
    "silent-limit": limited(500, 0),
    "silent-limit-100": limited(100, 0),
    "silent-limit-odd": limited(347, 0),
    "cancels-at-limit": limited(200, 0xFE00),
    "refuses-a700": limited(1000, 0xA700, 0),
    "refuses-c001": limited(300, 0xC001, 0),
    "stops-a700": limited(400, 0xA700),
    "limit-ignores-dates": limited(250, 0),
    "limit-one-by-one": limited(1, 0),
    # peculiar answers
    "all-ff01": pending_ff01,
    "undated": everything,
    "undated-limit": limited(300, 0),
    "malformed-dates": malformed_dates,
    "no-image-counts": without_images_below(True),
    "empty-image-counts": all_studies(b""),
    "no-counts-at-all": without_images_below(False),
    "zero-image-counts": all_studies(b"0"),
    "absurd-image-counts": all_studies(b"4294967295"),
    "ignores-dates": ignores_dates,
    "no-open-ranges": no_open_ranges,
    "no-open-ranges-limit": limited(200, 0),
    "row-per-file": rows_for_files,
    "duplicates": twice,
    "duplicates-limit": limited(250, 0),
    "one-day": one_day,
    "one-moment": one_moment,
    "ignores-times": ignores_times,
    "future-dates": future,
    "one-pdu": one_pdu,
    "study-level-only": only_study_level,
    "slow-answers": everything,
    "no-patient-id": never_counts(q.PATIENT_ID),
    # decoys
    "dicompot": dicompot,
    "dicomhawk": everything,
    "accepts-anything": invented_syntax,
    "no-implementation-uid": nameless,
    # others
    "http": web,
    "orthanc-web": web,
    "https": secure_web,
    "ssh": says(b"SSH-2.0-"),
    "smtp": says(b"220 mail.example ESMTP"),
    "ftp": says(b"220 (vsFTPd"),
    "telnet": says(b"\xff\xfd"),
    "imap": says(b"* OK"),
    "mysql": says(b"\x4a\x00\x00\x00\x0a8.0"),
    "redis": says(b"-ERR"),
    "rdp": says(b"\x03\x00\x00\x13"),
    "vnc": says(b"RFB 003.008\n"),
    "hl7": says(b"\x0bMSH|"),
    "closes": hangs_up(False),
    "random": noise,
    "silent": quiet,
    "tarpit": drips,
    # hostile
    "huge-accept": breaks(LimitExceeded, finds=False),
    "endless-items": breaks(LimitExceeded, finds=False),
    "many-items": breaks(ProtocolError, finds=False),
    "accept-too-short": breaks(ProtocolError, finds=False),
    "accept-length-too-long": waits_for_more,
    "accept-item-overruns": breaks(ProtocolError, finds=False),
    "unknown-pdu-type": breaks(ProtocolError, finds=False),
    "accept-of-nothing": accept_of_nothing,
    "huge-answer": breaks(LimitExceeded, finds=True),
    "endless-command": breaks(LimitExceeded, finds=True),
    "endless-identifier": breaks(LimitExceeded, finds=True),
    "empty-fragments": floods,
    "endless-answers": endless,
    "pdv-overruns": breaks(ProtocolError, finds=True),
    "pdv-of-nothing": breaks(ProtocolError, finds=True),
    "wrong-context": breaks(AssertionError, ProtocolError, finds=True),
    "command-garbage": breaks(ProtocolError, finds=True),
    "data-before-command": breaks(ProtocolError, finds=True),
    "pending-without-identifier": pending_without_identifier,
    "wrong-response": breaks(AssertionError, finds=True),
    "identifier-truncated": breaks(ProtocolError, finds=True),
    "identifier-overruns": breaks(ProtocolError, finds=True),
    "identifier-nested": breaks(ProtocolError, finds=True),
    "identifier-garbage": unreadable,
    "identifier-empty": unreadable,
    "no-study-uids": never_counts(q.STUDY_INSTANCE_UID),
    "wrong-message-ids": wrong_message_ids,
    "stalls-mid-find": stalls,
    "silent-after-accept": mute,
    "reset-on-connect": hangs_up(True),
    "reset-after-request": hangs_up(True),
    "reset-after-accept": reset_after_accept,
    "reset-mid-find": breaks_off(10, True),
    "abort-mid-find": breaks_off(10, False),
    "reset-at-release": ends_badly(Hangup),
    "never-releases": ends_badly(None),
    # fragile
    "fragile": everything,
}


def test_each_persona_is_looked_at_and_lives_among_the_hard_cases() -> None:
    assert set(EXPECTED) == set(personas())


@pytest.mark.parametrize("persona", EXPECTED)
async def test_persona(persona: str) -> None:
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    population = only("hard-cases", persona)
    assert population.endpoint, f"{persona} is missing in hard-cases.toml"
    async with Neighbourhood(population, free_ports=True) as neighbourhood:
        for truth in neighbourhood.truth:
            await EXPECTED[persona](truth)
    assert failures == []


async def test_two_doors_lead_to_one_archive() -> None:
    async with Neighbourhood(only("hard-cases", "dcmtk", "pynetdicom"), free_ports=True) as neighbourhood:
        doors = [truth for truth in neighbourhood.truth if truth.studies == 1700]
        assert len(doors) == 3 and len({truth.archive for truth in doors}) == 1
        told = [distinct((await listed(door))[0], q.STUDY_INSTANCE_UID) for door in doors]
        assert told[0] == told[1] == told[2]


# ---- the fragile one -------------------------------------------------------------------------------------------------


async def crashed_by(bad: Callable[[EndpointTruth], Awaitable[None]], **options: object) -> str | None:
    from lab_client import one

    async with Neighbourhood(one("fragile", options=dict(options)), free_ports=True) as neighbourhood:
        await everything(neighbourhood.truth[0])
        assert neighbourhood.truth[0].crashed is None
        await bad(neighbourhood.truth[0])
        await until(lambda: not neighbourhood.truth[0].seen.open_now)
        crashed = neighbourhood.truth[0].crashed
        if crashed is not None:
            async with Visitor(neighbourhood.truth[0]) as visitor:
                dead = asyncio.ensure_future(visitor.associate())
                await asyncio.wait([dead], timeout=0.2)
                assert not dead.done()
                dead.cancel()
        return crashed


async def test_two_visitors_at_once_kill_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as first:
            await first.associate()
            async with Visitor(truth) as second:
                second.send(b"\x01")
                await until(lambda: truth.seen.open_now == 2)

    assert await crashed_by(bad) == "two connections at once"


async def test_an_odd_title_kills_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            heard = asyncio.ensure_future(visitor.associate(calling="it's me"))
            await asyncio.wait([heard], timeout=0.2)
            heard.cancel()

    assert await crashed_by(bad) == "an unusual calling AE title"


async def test_leaving_without_release_kills_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()

    assert await crashed_by(bad) == "an association without release"


async def test_an_abort_kills_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            visitor.send(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
            await until(lambda: truth.seen.aborted == 1)

    assert await crashed_by(bad) == "an association that was aborted"


async def test_too_many_requests_kill_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            for _ in range(9):
                assert await visitor.echo() == 0
            heard = asyncio.ensure_future(visitor.echo())
            await asyncio.wait([heard], timeout=0.2)
            assert not heard.done()
            heard.cancel()

    assert await crashed_by(bad, most_requests=10) == "more than 10 requests"


async def test_a_large_pdu_kills_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            await visitor.associate()
            visitor.send(b"\x04\x00\x00\x00\x50\x00" + bytes(0x5000))
            await asyncio.wait([asyncio.ensure_future(visitor.pdu())], timeout=0.2)

    assert await crashed_by(bad) == "a PDU above 16 KiB"


async def test_another_protocol_kills_it() -> None:
    async def bad(truth: EndpointTruth) -> None:
        async with Visitor(truth) as visitor:
            visitor.send(b"\x16\x03\x01\x00\xa5")
            await asyncio.wait([asyncio.ensure_future(visitor.pdu())], timeout=0.2)

    assert await crashed_by(bad) == "octets that are no A-ASSOCIATE-RQ"


async def test_good_manners_keep_it_alive() -> None:
    async def good(truth: EndpointTruth) -> None:
        for _ in range(3):
            await everything(truth)

    assert await crashed_by(good) is None


async def test_nonsense_ends_the_visit_of_an_ordinary_server() -> None:
    async with Neighbourhood(only("hard-cases", "echo-only"), free_ports=True) as neighbourhood:
        async with Visitor(neighbourhood.truth[0]) as visitor:
            visitor.send(b"GET / HTTP/1.0\r\n\r\n")
            assert isinstance(await visitor.pdu(), Abort)
        async with Visitor(neighbourhood.truth[0]) as visitor:
            await visitor.associate()
            visitor.send(b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\x04\x63\x03\x00\x00")
            assert isinstance(await visitor.pdu(), Abort)
    assert QUERY_CONTEXT == 3
