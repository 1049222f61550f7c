"""The results of a running scan: lines as they come, everything else when it is over.

JSON lines are written while the scan runs, so that a program at the other end of a pipe can begin at once. The other
formats want the whole of it, which is read back from where the scan was saved.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from leadapron.cli.writing import unwritable
from leadapron.kernel.errors import LeadApronError

if TYPE_CHECKING:
    from leadapron.watch.measure.model import Measurement
    from leadapron.watch.measure.record import EndpointRecord, Summary
    from leadapron.watch.scan.run import Prepared


class Results:
    """Use as a context manager: ``put`` while it runs, ``finish`` at the end. ``passing``: the scan is kept for as long
    as the command runs, and no longer, so that its number means nothing to the user."""

    def __init__(self, format_: str, output: Path | None, passing: bool = False) -> None:
        self._passing = passing
        self._format = format_
        self._output = output
        self._stream: IO[str] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Results:
        if self._format == "jsonl":
            try:
                self._stream = (
                    sys.stdout
                    if self._output is None
                    else self._stack.enter_context(self._output.open("w", encoding="utf-8", newline=""))
                )
            except OSError as error:
                raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.close()
        except OSError as failure:
            if error is None:
                raise self._unwritable(failure) from failure

    def put(self, measurement: Measurement, record: EndpointRecord) -> None:
        """One finished endpoint."""
        if self._stream is not None:
            self._write(record)

    def finish(self, prepared: Prepared, summary: Summary, page: Path | None) -> None:
        """The end of the scan: the summary line, or the whole in its format; and the HTML page."""
        if self._stream is not None:
            if prepared.resumed is not None:
                self._earlier(prepared)
            self._write(summary)
            self._flush()
        if self._stream is None or page is not None:
            self._from_store(prepared, page)

    def _earlier(self, prepared: Prepared) -> None:
        """What an earlier run of a resumed scan had found: the output is to be whole."""
        from leadapron.watch.track.store import Store

        with Store.open(prepared.location) as store:
            for record in store.records(prepared.writer.scan_id):
                if (record.address, record.port) in prepared.recorded:
                    self._write(record)

    def _from_store(self, prepared: Prepared, page: Path | None) -> None:
        import msgspec

        from leadapron.cli.report import Reading, facts_of, write_page, write_results
        from leadapron.watch.track.store import Store

        with Store.open(prepared.location) as store:
            scan = store.scan(prepared.writer.scan_id)
            facts = facts_of(scan)
            if self._passing:
                facts = msgspec.structs.replace(facts, number=None)
            if self._stream is None:
                write_results(self._format, self._output, facts, Reading(store, scan), page)
            if page is not None:
                write_page(page, facts, Reading(store, scan))

    def _write(self, value: EndpointRecord | Summary) -> None:
        from leadapron.watch.report.jsonl import line

        assert self._stream is not None
        try:
            self._stream.write(line(value) + "\n")
            if self._output is None:
                self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _flush(self) -> None:
        assert self._stream is not None
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> LeadApronError:
        saved = "" if self._passing else "; what was found so far is saved, --resume goes on from there"
        return unwritable(self._output or "to stdout", error, saved)
