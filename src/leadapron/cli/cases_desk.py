"""What the commands of ``leadapron cases`` share: the database with its settings, and steps for several cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

import msgspec
import sqlalchemy as sa

from leadapron.cli.place import Place, exposure_of
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.advice import advice
from leadapron.watch.reach.cases.model import Case, Owner
from leadapron.watch.reach.cases.settings import load_cases
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.follow import Followed, follow
from leadapron.watch.track.database import failures, open_engine


class Desk:
    """Use as a context manager."""

    def __init__(self, place: Place) -> None:
        self._config = place.config
        self._rules = load_cases(self._config)
        self._engine = open_engine(place.location())
        self.cases = Cases(self._engine, self._rules)

    def __enter__(self) -> Desk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def advice(self, cases: Sequence[Case]) -> dict[int, str]:
        return advice(self._engine, self.cases, cases)

    def each(self, numbers: Sequence[int], do: Callable[[int, sa.Connection], Case]) -> list[Case]:
        """The same for several cases: for all, or for none where one of them refuses."""
        with failures(self._engine), self._engine.begin() as inside:
            return [do(number, inside) for number in dict.fromkeys(numbers)]

    def open(self, exposures: Sequence[str], by: str) -> Iterator[tuple[int, int, bool]]:
        """Number of the exposure, of its case, and whether that was opened now."""
        chosen = [exposure_of(self._engine, text) for text in exposures]
        if closed := [str(one) for one in chosen if one.state != "open"]:
            raise UsageError(f"{', '.join(closed)}: closed as far as scans know, so there is nothing to follow up")
        opened = set(self.cases.open_for([one.id for one in chosen], by))
        for one in chosen:
            case = self.cases.of(one.id)
            assert case is not None
            yield one.id, case.id, case.id in opened

    def confirm(self, numbers: Sequence[int], given: Mapping[str, str], suggested: bool, by: str) -> list[Case]:
        owners = {number: self._owner(self.cases.get(number), given, suggested) for number in numbers}
        return self.each(numbers, lambda id, inside: self.cases.confirm(id, owners[id], by, connection=inside))

    def _owner(self, case: Case, given: Mapping[str, str], suggested: bool) -> Owner:
        """What was given, else what was confirmed before, else what hints suggest if that is wanted."""
        from leadapron.watch.track.owner.hints import Hints
        from leadapron.watch.track.owner.suggestion import suggestion

        known: dict[str, str] = {}
        hint = suggestion(Hints(self._engine).of(case.exposure_id))
        if suggested:
            hinted = {"organisation": hint.organisation, "mailbox": hint.mailbox, "country": hint.country}
            known |= {key: value for key, value in hinted.items() if value}
        if case.owner is not None:
            known |= {key: value for key, value in msgspec.structs.asdict(case.owner).items() if value}
        known |= given
        if "organisation" not in known:
            seen = f"; the hints suggest {hint.organisation or hint.domain}" if hint.organisation or hint.domain else ""
            raise UsageError(
                f"case {case.id} ({case.endpoint}): say who the owner is, --organisation NAME{seen}. "
                f"'leadapron owner show {case.exposure_id}' shows what is known"
            )
        if not known.keys() & {"mailbox", "postal"}:
            seen = f"; the hints suggest {hint.mailbox}, --suggested takes it" if hint.mailbox else ""
            raise UsageError(
                f"case {case.id} ({case.endpoint}): say where to write to, --mailbox MAILBOX or --postal TEXT{seen}. "
                f"Where nobody can be found: 'leadapron cases escalate {case.id} --level cert'"
            )
        return Owner(**known)

    def notices(self, case_id: int) -> list[tuple[int, str, str, int, str]]:
        """Number, purpose, channel, level and state of each."""
        from leadapron.watch.reach.notices.settings import load_notices
        from leadapron.watch.reach.notices.store import Notices

        found, _ = Notices(self._engine, load_notices(self._config)).find(case_id=case_id, order="id", limit=500)
        return [(one.id, one.purpose, one.channel, one.level, one.state) for one in found]

    def follow(self) -> Followed:
        from leadapron.watch.reach.notices.settings import load_notices
        from leadapron.watch.reach.notices.store import Notices

        return follow(self._engine, self._rules, Notices(self._engine, load_notices(self._config), rules=self._rules))

    def endpoints(self, exposure_ids: Sequence[int]) -> list[str]:
        from leadapron.watch.track.exposures.store import Exposures

        return [str(one) for one in Exposures(self._engine).some(list(exposure_ids))]
