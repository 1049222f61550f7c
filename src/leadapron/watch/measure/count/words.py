"""Why a count is not complete, in words for a person: numbers of ours, and nothing that the server sent but status
codes.
"""

from __future__ import annotations

from leadapron.watch.measure.count.inquiry import Stopped
from leadapron.watch.measure.count.query import Answer


def plural(n: int, what: str, many: str | None = None) -> str:
    return f"{n:,} {what if n == 1 else many or what + 's'}"


def at_most(limit: int) -> str:
    return f"the server gives at most {plural(limit, 'study', 'studies')} at once"


STOPPED: dict[Stopped, str] = {
    "requests": "the requests allowed for one device were used up",
    "answers": "the answers allowed for one device were used up",
    "time": "the time allowed for one device was used up",
    "silence": "the server stopped answering",
}
UNDATED_HIDDEN = "studies without a date may be missing: no range of dates brings them up"
UNTIMED_HIDDEN = "studies without a time may be missing on days that were listed hour by hour"
ROUND = "the answer is as long as a limit would be, and not all of it can be asked for in parts"
IGNORES_DATES = "the server does not keep to the dates asked for, so nothing could be verified"
LOSSY = "ranges of dates leave out studies that are there"
ERRATIC = "the server stops at a different number of studies each time"
BY_DATE_REFUSED = "the server would not be asked by date, so nothing could be verified"
NOT_VERIFIED = "nothing could be verified"
WITHOUT_UID = "some answers name no study"
CONFLICTS = "answers that repeat a study give it different numbers of images"
TOO_MANY = "too many studies to tell repeated ones apart exactly"
FEWER = "the server listed more studies at first than when it was asked again"
TWICE = "some studies are listed under two dates, and their images were left out"
NO_ESTIMATE = "single days could not be had whole, so there is no estimate"


def odd_status(status: int | None) -> str:
    return f"the server ends every answer with status {0 if status is None else status:04X}H"


def long_days(n: int) -> str:
    return f"{plural(n, 'day holds', 'days hold')} more than that"


def gaps(n: int) -> str:
    return f"{plural(n, 'range of dates', 'ranges of dates')} could not be had"


def images_unknown(studies: int) -> str:
    return f"{plural(studies, 'study', 'studies')} came without a number of images"


def images_sampled(asked: int, studies: int) -> str:
    return f"images are estimated from {plural(asked, 'study', 'studies')} of {studies:,}"


IMAGES_DOUBTFUL = "the largest series is as long as a limit would be"


def refused(answer: Answer) -> str:
    """Why a query was not answered, in a word for ``CountFailed``."""
    if answer.failure is not None:
        return answer.failure
    return f"the server refused the query (status {0 if answer.status is None else answer.status:04X}H)"


def estimated(days: int, of_days: int) -> str:
    return f"estimated from {plural(days, 'day')} of {of_days:,}; studies without a date are not in the estimate"
