"""Where Lead Apron keeps its data: one directory, the user's own unless told otherwise.

What stands in it says which servers are open and whose they are, which is worth hiding even though no patient's datum
is among it: the directory is made for its owner alone (0700) and the files in it follow (0600). A directory that was
there before keeps its mode, because it may be shared on purpose.
"""

from __future__ import annotations

import os
from pathlib import Path

from leadapron.kernel.errors import Failure, UsageError

APPLICATION = "leadapron"
DATABASE = "leadapron.sqlite"
CONFIGURATION = "leadapron.toml"


def default_data_dir() -> Path:
    """The user's data directory as the platform has it (on Linux ``$XDG_DATA_HOME/leadapron``); nothing is created."""
    from platformdirs import user_data_path  # costs 10 ms, and --data makes it unnecessary

    return user_data_path(APPLICATION, appauthor=False)


def place(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The data directory, absolute, whether it is there or not. Raises ``UsageError`` for a URL: it would become a
    directory of that name, and a password in it would be shown."""
    if chosen is not None and "://" in os.fspath(chosen):
        raise UsageError(
            "--data is a directory; the URL of a database stands in leadapron.toml as database_url, or in "
            "LEADAPRON_DATABASE_URL"
        )
    return (Path(chosen).expanduser() if chosen is not None else default_data_dir()).absolute()


def data_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The data directory, absolute, created with mode 0700 where it is missing.

    ``chosen`` (``--data``, or the configuration's) wins over the platform's. Raises ``Failure`` where it cannot be
    made or is no directory.
    """
    path = place(chosen)
    try:
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Failure(
            f"cannot make the data directory {path}: {error.strerror or type(error).__name__}. "
            "Choose one that you may write to: --data DIR"
        ) from error
    return path


def private_file(path: Path) -> None:
    """Create ``path`` empty with mode 0600 unless it is there. Raises ``Failure`` where that cannot be done."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except OSError as error:
        raise Failure(
            f"cannot write {path}: {error.strerror or type(error).__name__}. "
            "Free some space or mend its permissions, or choose another directory: --data DIR"
        ) from error
