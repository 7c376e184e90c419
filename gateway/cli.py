"""The command `watchkeeper`. The daemon, which stays for months, starts without what only commands need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from gateway.supervisor import EX_CONFIG, EX_IOERR, EX_TEMPFAIL


def main() -> None:
    """The console command."""
    match sys.argv[1:]:
        case ["run", folder] if not folder.startswith("-"):
            run(Path(folder))
        case _:
            from gateway.commands import app

            app()


def run(folder: Path) -> None:
    """The daemon on a site folder, until SIGTERM."""
    from gateway.apart import apart, share_one_arena
    from gateway.config import load_site
    from gateway.mistakes import ConfigError

    share_one_arena()
    try:
        site = apart(load_site, folder)  # parsed TOML takes ten times the room of the site
    except ConfigError as error:
        _end(f"{error}\n{error.summary(folder)}", EX_CONFIG)
    from gateway.daemon import DiskFailedError, main_loop
    from gateway.supervisor import AlreadyRunningError

    try:
        main_loop(site)
    except AlreadyRunningError as error:
        _end(str(error), EX_TEMPFAIL)
    except DiskFailedError as error:
        _end(f"stopped: {error}", EX_IOERR)


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
