"""The command ``twolane``, which is also ``python -m twolane``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without the extra ``cli`` say what to install (``about`` needs nothing)."""
    try:
        from twolane.cli.app import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        if sys.argv[1:] != ["about"]:
            sys.exit("twolane: the command needs click and rich: pip install 'twolane[cli]'")
        from twolane._about import about

        for name, value in about().items():
            print(f"{name:16} {value}")
    else:
        run()


if __name__ == "__main__":
    main()
