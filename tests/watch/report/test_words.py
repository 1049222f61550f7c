"""Numbers and sentences: singular and plural, grouped, and never more certain than the figures."""

from __future__ import annotations

import pytest

from leadapron.watch.measure.judge import record
from leadapron.watch.measure.record import Exposed, ExposedTotal, Summary
from leadapron.watch.report import text, words
from sightings import archive, exact, refusing


def summary(
    complete: bool = True, archives: int = 3, total: tuple[int, int, int] = (3100, 4203, 120311), **n: int
) -> Summary:
    return Summary(256, n, archives, ExposedTotal(*total, complete), 12.3)


def test_a_scan_with_everything_in_it() -> None:
    counts = {"exposed": 3, "open": 2, "guarded": 4, "decoy": 1, "other": 9, "silent": 1, "closed": 1260, "failed": 2}
    assert words.sentences(summary(complete=False, **counts)) == [
        "3 endpoints give patient records to any stranger who asks.",
        "At least 3,100 patients, 4,203 studies and 120,311 images stand open, in 3 archives.",
        "Not every count could be finished; the endpoint's own line says why.",
        "2 more serve any stranger, though no patient record was seen.",
        "4 imaging servers turn strangers away.",
        "1 endpoint behaves as no real archive does: a decoy, not counted.",
        "Of the other endpoints, 9 are no imaging services, 1 connects and says nothing and 1,260 are closed or "
        "unreachable.",
        "2 measurements failed for reasons of our own: nothing is known of those endpoints.",
    ]


def test_one_of_everything() -> None:
    counts = dict.fromkeys(("exposed", "open", "guarded", "decoy", "other", "silent", "closed", "failed"), 1)
    assert words.sentences(summary(archives=1, total=(1, 1, 1), **counts)) == [
        "1 endpoint gives patient records to any stranger who asks.",
        "1 patient, 1 study and 1 image stand open, in 1 archive.",
        "1 more serves any stranger, though no patient record was seen.",
        "1 imaging server turns strangers away.",
        "1 endpoint behaves as no real archive does: a decoy, not counted.",
        "Of the other endpoints, 1 is no imaging service, 1 connects and says nothing and 1 is closed or unreachable.",
        "1 measurement failed for reasons of our own: nothing is known of those endpoints.",
    ]


def test_a_sum_with_an_estimate_in_it_is_no_lower_bound() -> None:
    assert words.sentences(summary(complete=False, exposed=3), estimated=True)[1].startswith("About 3,100 patients,")
    assert words.sentences(summary(complete=True, exposed=3), estimated=True)[1].startswith("3,100 patients,")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"open": 1}, "1 endpoint serves any stranger, though no patient record was seen."),
        ({"open": 2, "guarded": 1}, "2 endpoints serve any stranger, though no patient record was seen."),
        ({"guarded": 1}, "1 imaging server was found, and it turns strangers away."),
        ({"guarded": 12, "other": 3}, "12 imaging servers were found, and all of them turn strangers away."),
        ({"other": 3}, "No imaging server was found that talks to strangers."),
        ({}, "No imaging server was found that talks to strangers."),
    ],
)
def test_headlines_without_exposure(counts: dict[str, int], said: str) -> None:
    assert words.headline(summary(archives=0, total=(0, 0, 0), **counts)) == said


def test_where_only_closed_ones_are_there_are_no_others() -> None:
    said = words.sentences(summary(archives=0, total=(0, 0, 0), closed=1280))
    assert said[1:] == ["Of the endpoints, 1,280 are closed or unreachable."]


def test_the_next_step_names_the_endpoint_that_matters_most() -> None:
    first = record(archive(5, exact(1503)))
    said = words.next_step(summary(exposed=2), first, 7)
    assert said == (
        "Close 127.0.0.5:11112 first; `leadapron report 7 --report report.html` writes down how, step by step, for "
        "each server."
    )
    assert words.next_step(summary(exposed=1), first, None).startswith("Close 127.0.0.5:11112; `leadapron scan …")
    assert words.next_step(summary(exposed=1), first, 7, "out.html").startswith("Close 127.0.0.5:11112; out.html says")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"failed": 3, "guarded": 1}, "lower --rate"),
        ({"guarded": 1}, "every night"),
        ({"closed": 5}, "If you expected an imaging server here"),
    ],
)
def test_next_steps_where_nothing_is_open(counts: dict[str, int], said: str) -> None:
    assert said in words.next_step(summary(**counts), record(refusing(1)), 1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.3, "12 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7530, "2 h 6 min"),
    ],
)
def test_durations(value: float, said: str) -> None:
    assert text.seconds(value) == said


@pytest.mark.parametrize(
    ("exposed", "value", "said"),
    [
        (Exposed(1, 1, 1, True, "exact"), 1193404000, "1,193,404,000"),
        (Exposed(1, 1, 1, False, "exact"), 1503, "≥ 1,503"),
        (Exposed(1, 1, 1, False, "lower-bound"), 1503, "≥ 1,503"),
        (Exposed(1, 1, 1, False, "estimate"), 1503, "≈ 1,503"),
        (Exposed(1, 1, None, True, "exact"), None, "?"),
    ],
)
def test_a_count_shows_how_sure_it_is(exposed: Exposed, value: int | None, said: str) -> None:
    assert text.counted(value, exposed) == said


def test_what_is_not_printable_is_replaced() -> None:
    assert text.clean("Orthanc 1.12 – Münster 放射線") == "Orthanc 1.12 – Münster 放射線"
    hostile = "a\x1b[2Jb\x07\x9bc\u202ed\u200be\nf\u2028g\ud800h\x7f"
    assert text.clean(hostile) == "a�[2Jb��c�d�e�f�g�h�"


@pytest.mark.parametrize(
    ("address", "said"), [("127.1.0.5", "127.1.0.5:104"), ("::1", "[::1]:104"), ("fe80::1%eth0", "[fe80::1%eth0]:104")]
)
def test_endpoints(address: str, said: str) -> None:
    assert text.endpoint(address, 104) == said
