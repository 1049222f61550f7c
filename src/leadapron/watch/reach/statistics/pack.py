"""The pack: what may be published, and nothing else. Whoever writes it out sees only this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec import Struct

from leadapron.kernel.errors import Failure
from leadapron.watch.reach.statistics import disclosure
from leadapron.watch.reach.statistics.disclosure import Cell, collapse, flows, rounded, suppress, unit
from leadapron.watch.reach.statistics.history import Archive, History
from leadapron.watch.reach.statistics.survival import Curve, curve

TOP: Final = 10  # whose share of all studies is told
_CROSSED: Final = (6, 4)  # countries and products in the table of both
By = Literal["country", "product", "network"]
BY: Final[tuple[By, ...]] = ("country", "product", "network")


class Amount(Struct, frozen=True):
    """``value`` is a multiple of ``unit``."""

    value: int
    unit: int


class Row(Struct, frozen=True):
    """``name`` None: all that are too small to stand by themselves, together."""

    name: str | None
    archives: int
    studies: Amount
    images: Amount


class Crossed(Struct, frozen=True):
    """Archives by country and product. ``None`` among the names: the others. A cell that is None is suppressed."""

    countries: tuple[str | None, ...]
    products: tuple[str | None, ...]
    cells: tuple[tuple[Cell, ...], ...]


class WeekRow(Struct, frozen=True):
    """At the end of the week that ends on the day ``end``; None: suppressed."""

    end: str
    open: Cell
    opened: Cell
    closed: Cell
    studies: Amount | None
    images: Amount | None


class FixRow(Struct, frozen=True):
    """``day`` days after a server was found open ``share`` % were open still, 95 % interval ``low`` to ``high``."""

    day: int
    share: int
    low: int
    high: int


class Pack(Struct, frozen=True):
    """``top_share``: % of all studies in the ``TOP`` largest archives, to within ``top_step``; None: suppressed.
    ``fixes`` empty: fewer closed than the minimum."""

    first: str
    last: str
    minimum: int
    percent: int
    total: Row
    tables: dict[str, tuple[Row, ...]]
    crossed: Crossed | None
    weeks: tuple[WeekRow, ...]
    top_share: int | None
    top_step: int
    fixes: tuple[FixRow, ...]
    median: int | None


def publish(history: History, minimum: int = disclosure.MINIMUM, percent: int = disclosure.PERCENT) -> Pack:
    """What of ``history`` may be published. Raises ``Failure`` where that is nothing."""
    standing = history.standing
    if len(standing) < minimum:
        raise Failure(
            f"nothing is fit to publish: on {history.last} fewer than {minimum} archives stood open. Choose another "
            "--until, or wait until there are more"
        )
    groups = {by: _groups(standing, by, minimum) for by in BY}
    coarsest: dict[str, int] = {}
    for amount, of in _AMOUNTS.items():
        parts = [[of(archive) for archive in group] for table in groups.values() for _, group in table]
        weekly = [getattr(week, amount) for week in history.weeks if week.open >= minimum]
        moved = [getattr(week, f"{amount}_moved") for week in history.weeks]  # the difference of two weeks is told too
        every = [*parts, *weekly, *moved, [of(one) for one in standing]]
        coarsest[amount] = max(unit(part, percent) for part in every)
    total = _row("", standing, coarsest["studies"], coarsest["images"])
    fixes, median = _fixes(curve(history.spans), minimum)
    top, step = _top_share(standing, minimum, coarsest["studies"])
    return Pack(
        first=history.first,
        last=history.last,
        minimum=minimum,
        percent=percent,
        total=total,
        tables={by: tuple(_rows(table, percent)) for by, table in groups.items()},
        crossed=_crossed(standing, minimum),
        weeks=tuple(_weeks(history, minimum, coarsest)),
        top_share=top,
        top_step=step,
        fixes=fixes,
        median=median,
    )


_AMOUNTS: Final[dict[str, Callable[[Archive], int]]] = {"studies": lambda a: a.studies, "images": lambda a: a.images}
Group = tuple[str | None, list[Archive]]


def _groups(standing: Sequence[Archive], by: By, minimum: int, most: int | None = None) -> list[Group]:
    """Archives by name, the largest group first; None for the others together, last."""
    named: dict[str, list[Archive]] = {}
    for archive in standing:
        named.setdefault(getattr(archive, by), []).append(archive)
    shown, others = collapse({name: len(group) for name, group in named.items()}, minimum, most)
    groups: list[Group] = [(name, named[name]) for name in shown]
    if others:
        groups.append((None, [archive for name in others for archive in named[name]]))
    return groups


def _rows(groups: list[Group], percent: int) -> list[Row]:
    rows = []
    for name, group in groups:
        studies, images = (unit([of(archive) for archive in group], percent) for of in _AMOUNTS.values())
        rows.append(_row(name, group, studies, images))
    return rows


def _row(name: str | None, group: Sequence[Archive], studies: int, images: int) -> Row:
    return Row(
        name,
        len(group),
        Amount(rounded(sum(one.studies for one in group), studies), studies),
        Amount(rounded(sum(one.images for one in group), images), images),
    )


def _crossed(standing: Sequence[Archive], minimum: int) -> Crossed | None:
    countries = _groups(standing, "country", minimum, _CROSSED[0])
    products = _groups(standing, "product", minimum, _CROSSED[1])
    counts = [
        [len({id(one) for one in group} & {id(one) for one in other}) for _, other in products]
        for _, group in countries
    ]
    cells = suppress(counts, minimum)
    if cells is None:
        return None
    return Crossed(tuple(n for n, _ in countries), tuple(n for n, _ in products), tuple(map(tuple, cells)))


def _weeks(history: History, minimum: int, coarsest: dict[str, int]) -> list[WeekRow]:
    weeks = history.weeks
    series = [week.open for week in weeks], [week.opened for week in weeks], [week.closed for week in weeks]
    rows = []
    for week, (stock, more, less) in zip(weeks, flows(*series, minimum), strict=True):
        studies, images = (
            None if stock is None else Amount(rounded(sum(getattr(week, name)), size), size)
            for name, size in coarsest.items()
        )
        rows.append(WeekRow(week.end, stock, more, less, studies, images))
    return rows


def _top_share(standing: Sequence[Archive], minimum: int, coarsest: int) -> tuple[int | None, int]:
    """No finer than the total itself is told, and only where others than the ten are enough to hide among."""
    amounts = sorted((one.studies for one in standing if one.studies), reverse=True)
    total = sum(amounts)
    if len(amounts) < TOP + minimum:
        return None, 1
    step = next((step for step in (1, 2, 5, 10) if step * total >= 100 * coarsest), 20)
    return rounded(round(100 * sum(amounts[:TOP]) / total), step), step


def _fixes(found: Curve, minimum: int) -> tuple[tuple[FixRow, ...], int | None]:
    """The curve in steps each of which stands for at least ``minimum`` closed servers, as do those that are left open;
    whole per cent. The median is read off these steps."""
    rows: list[FixRow] = []
    closed = 0
    for step in found.steps:
        closed += step.closed
        if closed >= minimum and step.at_risk - step.closed >= minimum:
            rows.append(FixRow(step.day, round(100 * step.share), round(100 * step.low), round(100 * step.high)))
            closed = 0
    if not rows:
        return (), None
    return (FixRow(0, 100, 100, 100), *rows), next((row.day for row in rows if row.share <= 50), None)
