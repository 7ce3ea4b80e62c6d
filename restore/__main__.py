"""`python -m restore`, and the command that is installed."""

import sys
from typing import NoReturn

from restore.loading import load_ahead


def main() -> NoReturn:
    # Before the command line itself is imported: that takes as long as the library.
    if sys.argv[1:2] == ["run"]:
        from restore.allocation import keep_freed_memory

        keep_freed_memory()
        load_ahead()
    from restore.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
