"""``python -m leadapron``."""

from leadapron.cli.main import main

main()
