"""What was published about the autumn of 2019, and how it is spread over countries where it was not.

Published (docs/autumn-2019.md says where): about 2,300 servers in 52 countries, 590 of them open, with 24.3 million
studies and 737 million images in September; sixty days later 172 of them gone, 129 new, 35 million studies and
1,193,404,000 images, half of them in the United States and a fifth with the ten largest; Turkey: 36 systems,
4,924,141 studies, 179,533,940 images; one archive with 1.23 million studies; five countries with three quarters.
A listing of May 2019 gives the servers of fifteen countries. The rest is ours, and says so by being round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

SERVERS: Final = 2_300
OPEN: Final = 590
GONE: Final = 172
NEW: Final = 129
MOVED: Final = (
    ("US", "tls-open"),
    ("US", "tls-open"),
    ("IN", "tls-open"),
    ("US", "osirix"),
    ("US", "conquest"),
    ("US", "dcm4chee"),
    ("US", "ge-pacs"),
    ("IN", "unmatched"),
    ("BR", "clearcanvas"),
)
"""Nine of the gone are nine of the new, at another address: by the same certificate (0.14 % spoke TLS), or without one,
each with other software, so that one can tell."""
MOVED_IMAGES: Final = (3_600_000, 8_000_000)
GONE_STUDIES: Final = (300, 60_000)  # mostly small ones reacted
STUDIES: Final = (24_300_000, 35_000_000)
IMAGES: Final = (737_000_000, 1_193_404_000)
MEAN_IMAGES: Final = 30.0  # a study
LAST_DAY: Final = (date(2019, 9, 16), date(2019, 11, 15))
TOP_TEN_SHARE: Final = 0.2
LARGEST_STUDIES: Final = 1_230_000
TURKEY_STUDIES: Final = 4_924_141
TURKEY_IMAGES: Final = 179_533_940


class Country(NamedTuple):
    """``listed``: weight of its servers; ``open``: weight of its open ones; ``images``: share of all images in the
    second wave, None: what is left, by open servers."""

    code: str
    listed: int
    open: int
    images: float | None = None


COUNTRIES: Final[Sequence[Country]] = (
    Country("US", 534, 187, 0.50),
    Country("CN", 151, 14),
    Country("IN", 147, 58, 0.06),
    Country("IR", 130, 50),
    Country("BR", 109, 34, 0.045),
    Country("TR", 87, 36, TURKEY_IMAGES / IMAGES[1]),
    Country("KR", 48, 9),
    Country("TH", 35, 20),
    Country("AR", 31, 14),
    Country("FR", 28, 8),
    Country("ZA", 27, 12, 0.03),
    Country("CA", 26, 8),
    Country("MX", 26, 11),
    Country("DE", 18, 5),
    Country("GB", 16, 4),
    Country("ES", 22, 10),
    Country("IT", 20, 9),
    Country("RU", 18, 6),
    Country("UA", 12, 5),
    Country("PL", 14, 4),
    Country("AU", 14, 4),
    Country("JP", 14, 2),
    Country("TW", 13, 4),
    Country("CO", 13, 6),
    Country("CL", 11, 5),
    Country("EC", 11, 6),
    Country("PE", 10, 5),
    Country("VE", 9, 4),
    Country("VN", 10, 4),
    Country("ID", 10, 4),
    Country("MY", 9, 3),
    Country("PK", 9, 4),
    Country("BD", 7, 3),
    Country("PH", 8, 3),
    Country("SA", 6, 2),
    Country("EG", 6, 3),
    Country("DZ", 6, 3),
    Country("MA", 5, 2),
    Country("KE", 4, 2),
    Country("NG", 4, 2),
    Country("GR", 6, 2),
    Country("RO", 7, 3),
    Country("BG", 5, 2),
    Country("RS", 5, 2),
    Country("HU", 6, 1),
    Country("CZ", 6, 1),
    Country("PT", 6, 1),
    Country("NL", 7, 1),
    Country("CH", 6, 1),
    Country("SG", 5, 1),
    Country("HK", 6, 2),
    Country("IL", 5, 2),
)

# Images of the ten largest, as shares of what they hold together, and where they stand. The first is Turkey's with 1.23
# million studies.
LARGEST: Final[Sequence[tuple[str, float]]] = (
    ("TR", 0.172),
    ("US", 0.142),
    ("US", 0.121),
    ("US", 0.109),
    ("US", 0.096),
    ("US", 0.088),
    ("IN", 0.080),
    ("US", 0.071),
    ("TR", 0.064),
    ("US", 0.057),
)

# What answers, by how often; every one of them can be counted to the last study.
OPEN_KINDS: Final[Mapping[str, int]] = {
    "dcmtk": 30,
    "orthanc": 14,
    "osirix": 14,
    "conquest": 8,
    "dcm4chee": 8,
    "dcm4chee-2": 7,
    "unmatched": 7,
    "ge-pacs": 5,
    "horos": 4,
    "clearcanvas": 3,
}
GUARDED_KINDS: Final[Mapping[str, int]] = {
    "rejects-calling": 48,
    "rejects-called": 32,
    "rejects-everybody": 12,
    "refuses-contexts": 6,
    "needs-identity": 2,
}
CLOSED_AS: Final[Mapping[str, int]] = {"": 70, "rejects-calling": 22, "http": 8}
"""What is there afterwards; mostly nobody answers."""
PORTS: Final[Mapping[int, int]] = {11112: 70, 104: 20, 4242: 10}
UNPRIVILEGED: Final = 11112  # instead of 104 where only root may open that
