"""`python -m restore`, and the command that is installed."""

import sys
from typing import NoReturn

from restore.interrupts import interrupts


def main() -> NoReturn:
    # Before anything that takes time: imports are most of a second.
    interrupts.install()
    from restore.machine import bind_libraries
    from restore.outlets import close_outlets, open_outlets

    open_outlets()
    bind_libraries()
    # Before the command line itself is imported: that takes as long as the library.
    if sys.argv[1:2] == ["run"]:
        from restore.allocation import keep_freed_memory
        from restore.loading import load_ahead

        keep_freed_memory()
        load_ahead()
    from restore.cli import main as commands

    try:
        commands()
    except SystemExit as ended:
        interrupts.leave(close_outlets(ended.code if isinstance(ended.code, int) else 0))


if __name__ == "__main__":
    main()
