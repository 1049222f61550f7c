"""Every server of the census, with what it holds in each wave: drawn once, from a fixed seed.

The published totals are met exactly in studies (and closely in images, which follow from a mean for each archive).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct, structs

from leadapron.lab.archive.studies import Plan, Studies
from leadapron.lab.history import figures as f
from leadapron.lab.history.shares import heavy_tail, integers, one_of, portions

_SEED: Final = 2019
_FIRST_NETWORK: Final = 32  # 127.32.0.0/16 is the first country
_A_NETWORK: Final = 30  # servers in a /24
_SPREAD: Final = 0.35  # of images a study from archive to archive (log-normal)
_DOUBLED: Final = 40  # archives that grew by a second one attached; the rest by days
TLS_PORT: Final = 2762

Role = Literal["stays", "goes", "comes", "guarded"]


class Volume(Struct, frozen=True):
    """``images`` is the mean a study."""

    studies: int
    images: float


class Server(Struct, frozen=True, kw_only=True):
    """One address of the census. ``volumes`` in the first and second wave, None where nothing stands open.

    ``was``: the number of the server that it is in the first wave, at another address. ``identity`` of its certificate
    where it speaks TLS. ``then``: the persona that is there after it was closed, None: nobody answers.
    """

    number: int
    country: str
    role: Role
    address: str
    port: int
    persona: str
    seed: int
    volumes: tuple[Volume | None, Volume | None] = (None, None)
    was: int | None = None
    identity: str | None = None
    then: str | None = None


@lru_cache(1)
def servers() -> tuple[Server, ...]:
    """All of them: a server's number is its place."""
    draw = random.Random(_SEED)
    drafts = [*_drafts(draw)]
    drafts = _moved(drafts, draw)
    studies, images = _second_wave(drafts, draw)
    before = _first_wave(drafts, studies, draw)
    return tuple(_assembled(drafts, before, studies, images))


# ---- who there is ---------------------------------------------------------------------------------------------------


def _drafts(draw: random.Random) -> Iterator[Server]:
    found = portions(f.SERVERS, {c.code: c.listed for c in f.COUNTRIES})
    opened = portions(f.OPEN, {c.code: c.open for c in f.COUNTRIES}, most=found)
    leaving = {code: count - (36 if code == "TR" else 0) for code, count in opened.items()}
    gone = portions(f.GONE, leaving, most=leaving)
    new = portions(f.NEW, leaving)
    number = 0
    for place, country in enumerate(f.COUNTRIES):
        code = country.code
        so_many: dict[Role, int] = {
            "stays": opened[code] - gone[code],
            "goes": gone[code],
            "guarded": found[code] - opened[code],
        }
        roles = [role for role, count in so_many.items() for _ in range(count)]
        draw.shuffle(roles)
        newcomers: list[Role] = ["comes"]
        roles += newcomers * new[code]
        for n, role in enumerate(roles):
            third, fourth = divmod(n, _A_NETWORK)
            yield Server(
                number=number,
                country=code,
                role=role,
                address=f"127.{_FIRST_NETWORK + place}.{third + 1}.{fourth + 1}",
                port=one_of(f.PORTS, draw),
                persona=one_of(f.GUARDED_KINDS if role == "guarded" else f.OPEN_KINDS, draw),
                seed=draw.randrange(1, 1 << 29),
                then=one_of(f.CLOSED_AS, draw) or None if role == "goes" else None,
            )
            number += 1


def _moved(drafts: list[Server], draw: random.Random) -> list[Server]:
    """Some of who comes are who went: the same software, archive and, with TLS, certificate."""
    going = [one for one in drafts if one.role == "goes"]
    coming = [one for one in drafts if one.role == "comes"]
    for n, (code, persona) in enumerate(f.MOVED):
        old = next(one for one in going if one.country == code)
        new = next(one for one in coming if one.country == code)
        going.remove(old)
        coming.remove(new)
        old = structs.replace(old, persona=persona)
        if persona == "tls-open":
            old = structs.replace(old, port=TLS_PORT, identity=f"moved-{n}.example")
        drafts[old.number] = structs.replace(old, then=None)
        drafts[new.number] = structs.replace(
            new, persona=old.persona, port=old.port, seed=old.seed, identity=old.identity, was=old.number
        )
    return drafts


# ---- what they hold -------------------------------------------------------------------------------------------------


def _second_wave(drafts: list[Server], draw: random.Random) -> tuple[dict[int, int], dict[int, float]]:
    """Studies and images of who is open in the second wave, by number."""
    open_now = [one for one in drafts if one.role in ("stays", "comes")]
    fixed: dict[int, float] = {}
    top = f.TOP_TEN_SHARE * f.IMAGES[1]
    free = [one for one in open_now if one.role == "stays"]
    for code, share in f.LARGEST:
        holder = next(one for one in free if one.country == code)
        free.remove(holder)
        fixed[holder.number] = top * share
    largest = next(iter(fixed))
    for one in open_now:
        if one.was is not None:
            fixed[one.number] = draw.uniform(*f.MOVED_IMAGES)
    images: dict[int, float] = dict(fixed)
    counts = {c.code: sum(one.country == c.code for one in open_now) for c in f.COUNTRIES}
    told = {c.code: c.images * f.IMAGES[1] for c in f.COUNTRIES if c.images is not None}
    others = sum(counts[code] for code in counts if code not in told)
    left = f.IMAGES[1] - sum(told.values())
    most = 0.9 * min(share for _, share in f.LARGEST) * top
    for code, count in counts.items():
        mine = [one for one in open_now if one.country == code]
        total = told.get(code, left * count / others) - sum(fixed.get(one.number, 0.0) for one in mine)
        rest = [one for one in mine if one.number not in fixed]
        draw.shuffle(rest)
        values = heavy_tail(total, len(rest), most, draw)
        images.update((one.number, value) for one, value in zip(rest, values, strict=True))
    rough = {number: value / draw.lognormvariate(3.5, _SPREAD) for number, value in images.items()}
    turkish = [one.number for one in open_now if one.country == "TR" and one.number != largest]
    abroad = [one.number for one in open_now if one.country != "TR"]
    studies = {largest: f.LARGEST_STUDIES}
    for numbers, total in (
        (turkish, f.TURKEY_STUDIES - f.LARGEST_STUDIES),
        (abroad, f.STUDIES[1] - f.TURKEY_STUDIES),
    ):
        studies.update(zip(numbers, integers(total, [rough[number] for number in numbers]), strict=True))
    return studies, images


def _first_wave(drafts: list[Server], after: dict[int, int], draw: random.Random) -> dict[int, int]:
    """Studies of who was open in the first wave: those who stay had fewer."""
    before: dict[int, int] = {}
    for one in drafts:
        if one.was is not None:
            before[one.was] = round(after[one.number] / draw.uniform(1.01, 1.04))
    for one in drafts:
        if one.role == "goes" and one.number not in before:
            low, high = f.GONE_STUDIES
            before[one.number] = round(low * (high / low) ** draw.random())
    stay = [one.number for one in drafts if one.role == "stays"]
    days = {number: after[number] / draw.uniform(1.005, 1.03) for number in stay}
    doubled = sorted((n for n in stay if 100_000 < after[n] < f.LARGEST_STUDIES), key=lambda _: draw.random())[
        :_DOUBLED
    ]
    excess = sum(days.values()) + sum(before.values()) - f.STUDIES[0]
    held = sum(days[number] for number in doubled)
    for number in doubled:
        days[number] *= 1 - excess / held
    total = f.STUDIES[0] - sum(before.values())
    before.update(zip(stay, integers(total, [days[number] for number in stay]), strict=True))
    return before


def _assembled(
    drafts: list[Server], before: dict[int, int], after: dict[int, int], images: dict[int, float]
) -> Iterator[Server]:
    """Means of images such that both waves have the images that were published. An archive that moves keeps its own."""
    later = {one.was: one.number for one in drafts if one.was is not None}
    means: dict[int, float] = {}
    for number in before.keys() | after.keys():
        at = later.get(number, number)
        means[number] = images[at] / after[at] if at in after else f.MEAN_IMAGES
    moving = {number: studies * means[number] for number, studies in before.items() if number in later}
    others = sum(studies * means[number] for number, studies in before.items() if number not in later)
    fewer = (f.IMAGES[0] - sum(moving.values())) / others
    for one in drafts:
        n = one.number
        part = 1.0 if n in later else fewer
        first = _volume(one.seed, before[n], means[n] * part) if n in before else None
        second = _volume(one.seed, after[n], means[n]) if n in after else None
        yield structs.replace(one, volumes=(first, second))


def _volume(seed: int, studies: int, mean: float) -> Volume:
    """A made-up archive's images are near its mean, not at it: the mean is chosen so that they are."""
    made = Studies(Plan(seed=seed, studies=studies, images_mean=mean)).volume.images
    return Volume(studies, mean * mean * studies / made)
