"""The counting's questions, asked over the network: one association, one C-FIND at a time, with a pause in between.

Whatever a server does ends as an answer that says so. An association that broke is made anew for the next question, a
few times; what one server is asked in all is bounded by the counting's budget, what it may take by
``Options.patience``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from leadapron.kernel.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    LimitExceeded,
    NotAccepted,
    ProtocolError,
    TimedOut,
    WireError,
)
from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.patient_level import PatientAnswer, PatientTally, count_patients
from leadapron.watch.measure.count.plan import count
from leadapron.watch.measure.count.query import (
    Answer,
    ImageAnswer,
    ImageQuery,
    SeriesAnswer,
    SeriesQuery,
    StudyQuery,
)
from leadapron.watch.measure.count.tally import ImageTally, SeriesTally, Tally
from leadapron.watch.measure.dicom import proposal
from leadapron.watch.measure.dicom.answers import image_reader, patient_reader, series_reader, study_reader
from leadapron.watch.measure.model import Accepted, Attempt, CountFailed
from leadapron.wire import uids
from leadapron.wire.aio.client import associate
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.tls import probe_context
from leadapron.wire.association.negotiate import ContextRequest
from leadapron.wire.dimse.query import QueryLevel, find_identifier
from leadapron.wire.dimse.rawfind import Identifier
from leadapron.wire.elements import Tag

if TYPE_CHECKING:
    from leadapron.watch.measure.dicom.visit import Visit

MAX_ASSOCIATIONS: Final = 10
OUR_SHORTAGES: Final = frozenset(("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"))  # never the server's
LOOK: Final = 4_096  # answers after which it is asked again whether they are enough
DRAIN_S: Final = 5.0
"""Seconds for a server to heed a C-CANCEL; then the association is aborted."""

Progress = Callable[[str, int, int], None]
"""Told (address, port, studies so far)."""


class Asker:
    """Asks one endpoint. Use as an async context manager; the association is released at the end."""

    def __init__(self, visit: Visit, attempt: Attempt) -> None:
        assert isinstance(attempt.outcome, Accepted)
        self._visit = visit
        self._attempt = attempt
        self._model = next(model for model in proposal.QUERY_MODELS if model in attempt.outcome.contexts)
        wait = visit.options.timeout
        self._timeouts = Timeouts(
            connect=wait, tls=wait, associate=wait, response=wait, idle=wait, write=wait, release=min(wait, 2.0)
        )
        self._until = asyncio.get_running_loop().time() + visit.options.patience
        self._stack = contextlib.AsyncExitStack()
        self._association: RequestorAssociation | None = None
        self._associations = 0
        self._asked = False

    @property
    def patient_root(self) -> bool:
        """Whether only the Patient Root model is served."""
        return self._model == uids.PATIENT_ROOT_FIND

    async def __aenter__(self) -> Asker:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(WireError):
            await self._stack.aclose()

    # ---- the questions (count.query.Ask) -----------------------------------------------------------------------------

    async def study(self, query: StudyQuery) -> Answer:
        tally = Tally(query)
        keys: dict[int, str | None] = {
            Tag.StudyDate: query.date.text if query.date else None,
            Tag.PatientID: query.patient,
            Tag.NumberOfStudyRelatedInstances: None,
        }
        if query.time is not None:
            keys[Tag.StudyTime] = query.time.text
        if query.want_shapes:
            keys |= {Tag.PatientName: None, Tag.PatientBirthDate: None}
        status, failure, cancelled = await self._find(
            QueryLevel.STUDY,
            keys,
            lambda syntax: study_reader(query, syntax, tally),
            query.max_answers,
            tally.yields,
        )
        return tally.finish(status, failure, cancelled=cancelled)

    async def series(self, query: SeriesQuery) -> SeriesAnswer:
        tally = SeriesTally(query.study_uid)
        keys: dict[int, str | None] = {
            Tag.StudyInstanceUID: query.study_uid.decode("latin-1"),
            Tag.NumberOfSeriesRelatedInstances: None,
        }
        status, failure, _ = await self._find(QueryLevel.SERIES, keys, lambda syntax: series_reader(syntax, tally))
        return tally.finish(status, failure)

    async def image(self, query: ImageQuery) -> ImageAnswer:
        tally = ImageTally(query.series_uid)
        keys: dict[int, str | None] = {
            Tag.StudyInstanceUID: query.study_uid.decode("latin-1"),
            Tag.SeriesInstanceUID: query.series_uid.decode("latin-1"),
        }
        status, failure, _ = await self._find(QueryLevel.IMAGE, keys, lambda syntax: image_reader(syntax, tally))
        return tally.finish(status, failure)

    async def rest(self, wait: Callable[[], Awaitable[None]]) -> None:
        await self._leave()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await wait()
        self._until += loop.time() - begun

    async def patients(self) -> PatientAnswer:
        """Not one of the counting's questions: for servers that list no study without its patient."""
        tally = PatientTally()
        keys: dict[int, str | None] = {
            Tag.NumberOfPatientRelatedStudies: None,
            Tag.NumberOfPatientRelatedInstances: None,
        }
        status, failure, _ = await self._find(QueryLevel.PATIENT, keys, lambda syntax: patient_reader(syntax, tally))
        return tally.finish(status, failure)

    # ---- one C-FIND --------------------------------------------------------------------------------------------------

    async def _find(
        self,
        level: QueryLevel,
        keys: dict[int, str | None],
        reader: Callable[[str], Identifier],
        most: int | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> tuple[int | None, str | None, bool]:
        """Ask; gives the final status, or what failed in our words, and whether we cancelled: after ``most`` answers,
        or when ``enough`` says so."""
        loop = asyncio.get_running_loop()
        if self._asked:
            await asyncio.sleep(self._visit.options.pause)
        self._asked = True
        cancelled = yielded = False
        left = most or 0
        try:
            async with asyncio.timeout_at(self._until) as bound:
                association = await self._standing()
                context = association.accepted(self._model)
                assert context is not None
                read = reader(context.transfer_syntax)

                def sink(buffer: bytes, start: int, end: int) -> None:
                    nonlocal cancelled, left, yielded
                    if yielded:
                        return
                    read(buffer, start, end)
                    left -= 1
                    yielded = not left % LOOK and left > 0 and enough is not None and enough()
                    if (left <= 0 or yielded) and not cancelled:
                        cancelled = True
                        association.cancel()
                        bound.reschedule(min(self._until, loop.time() + DRAIN_S))

                taker = read if most is None else sink
                identifier = find_identifier(level, match=keys, transfer_syntax=context.transfer_syntax)
                self._visit.requests += 1
                end = await association.find_into(self._model, identifier, association.raw_find(self._model, taker))
                return end.status, None, cancelled
        except TimeoutError:
            failure = "the server went on after C-CANCEL" if cancelled else "the time for this server was used up"
        except TimedOut as error:
            failure = f"{error.waiting_for}: nothing within {error.seconds:g} s"
        except LimitExceeded as error:
            failure = f"an answer beyond every bound: {error}"
        except ProtocolError as error:
            failure = f"a malformed answer: {error}"
        except AssociationAborted:
            failure = "the server aborted the association"
        except AssociationRejected as error:
            failure = f"the server rejected a further association (source {error.source}, reason {error.reason})"
        except ConnectionLost as error:
            ours = error.error in OUR_SHORTAGES
            failure = f"no connection could be opened: {error.error}" if ours else "the connection was lost"
        except NotAccepted:
            failure = "the server no longer accepted queries"
        except WireError as error:
            failure = f"the association failed ({type(error).__name__})"
        await self._drop()
        return None, failure, cancelled

    async def _standing(self) -> RequestorAssociation:
        if self._association is not None:
            return self._association
        if self._associations >= MAX_ASSOCIATIONS:
            raise NotAccepted("the server ended the association too often")
        self._associations += 1
        visit, attempt = self._visit, self._attempt
        visit.connections += 1
        self._association = await self._stack.enter_async_context(
            associate(
                visit.address,
                visit.port,
                called=attempt.called,
                calling=attempt.calling,
                contexts=(
                    ContextRequest(self._model, (uids.IMPLICIT_LE,)),
                    ContextRequest(self._model, (uids.EXPLICIT_LE,)),
                ),
                tls=probe_context() if attempt.transport == "tls" else None,
                timeouts=self._timeouts,
                max_length=proposal.MAXIMUM_LENGTH,
            )
        )
        visit.associations += 1
        if self._association.accepted(self._model) is None:
            raise NotAccepted("no presentation context was accepted for queries")
        return self._association

    async def _leave(self) -> None:
        """Release the association; the next question asks for another."""
        stack, self._stack, self._association = self._stack, contextlib.AsyncExitStack(), None
        with contextlib.suppress(WireError):
            await stack.aclose()

    async def _drop(self) -> None:
        """After a failure nothing can follow on this association: abort it."""
        stack, self._stack, self._association = self._stack, contextlib.AsyncExitStack(), None
        broken = ConnectionLost("given up")
        with contextlib.suppress(WireError):
            await stack.__aexit__(type(broken), broken, None)


async def count_endpoint(visit: Visit, attempt: Attempt, progress: Progress) -> None:
    """Count what this accepted endpoint lets a stranger list; fills the visit's count, shapes and fingerprint."""
    options = visit.options
    async with Asker(visit, attempt) as ask:
        outcome = await count(
            ask,
            Budget(max_requests=max(0, options.max_requests - visit.requests), seconds=options.patience),
            depth="estimate" if options.depth == "estimate" else "count",
            clock=visit.clock,
            progress=lambda studies: progress(visit.address, visit.port, studies),
        )
        visit.count, visit.shapes, visit.counted = outcome.count, outcome.shapes, outcome.fingerprint
        if ask.patient_root and isinstance(outcome.count, CountFailed) and visit.requests < options.max_requests:
            listed = count_patients(await ask.patients(), outcome.count.requests)
            if listed is not None:
                visit.count, visit.counted = listed
