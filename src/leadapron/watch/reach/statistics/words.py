"""Names and numbers of a pack as people read them; HTML and PDF say the same."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from leadapron.watch.reach.statistics.history import OTHER_SOFTWARE, UNKNOWN
from leadapron.watch.reach.statistics.pack import TOP, Amount, By, Pack

if TYPE_CHECKING:
    from babel import Locale

HEADS: Final[dict[By, str]] = {"country": "Country", "product": "Software", "network": "Network"}
SUPPRESSED: Final = "·"


def name(by: By, key: str | None) -> str:
    """A row's name: countries in English."""
    if key is None:
        return "Others"
    if by == "network" or key in (UNKNOWN, OTHER_SOFTWARE):
        return key[:1].upper() + key[1:]
    return key if by == "product" else _english().territories.get(key, key)


@lru_cache(maxsize=1)
def _english() -> Locale:
    from babel import Locale

    return Locale("en")


def number(value: int | None) -> str:
    """``1,503``; a dot for what is suppressed."""
    return SUPPRESSED if value is None else f"{value:,}"


def amount(value: Amount | None) -> str:
    """``≈ 1,500,000``: rounded, unless it needed no rounding."""
    if value is None:
        return SUPPRESSED
    return f"{'≈ ' if value.unit > 1 else ''}{value.value:,}"


def short(value: float) -> str:
    """``950``, ``1.5 k``, ``35 M``, ``1.19 G``."""
    for unit, sign in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:g}"


def sentences(pack: Pack) -> list[str]:
    """The pack in words, the one that matters first."""
    total = pack.total
    said = [
        f"On {pack.last}, {number(total.archives)} medical image archives answered any stranger who asked.",
        f"They held about {short(total.studies.value)} examinations with about {short(total.images.value)} images.",
    ]
    if pack.top_share is not None:
        said.append(f"The {TOP} largest hold about {pack.top_share} % of the examinations.")
    if pack.median is not None:
        said.append(f"Half of the servers that were found open were closed within {pack.median} days.")
    elif pack.fixes:
        last = pack.fixes[-1]
        said.append(f"{last.day} days after they were found, {last.share} % of the servers were open still.")
    return said


def rules(pack: Pack) -> list[str]:
    """What was done so that nobody can be told from it."""
    return [
        "Every figure is a sum over archives. None names an archive, its owner, its network or a patient; nothing of a "
        "patient was kept by who measured this.",
        f"A count below {pack.minimum} is not published: such rows are put together as “Others”, and in the table of "
        f"countries and software, and by week, a dot ({SUPPRESSED}) stands for it. So that it can't be computed from "
        "the totals, further cells are left out with it.",
        "Examinations and images are rounded: to about three digits, and where the largest archive is most of a row so "
        f"coarsely that it stays uncertain by {pack.percent} % (p%-rule). Totals are rounded as coarsely as the "
        "coarsest of their parts, so parts need not add up to them.",
        "An archive that is open at several doors is counted once. An archive is fixed when several measurements in a "
        "row prove that it is closed; silence proves nothing.",
        "Time to fix is the Kaplan–Meier estimate with Greenwood's 95 % interval, in steps of at least "
        f"{pack.minimum} servers. The kind of a network is guessed from its operator's name.",
    ]
