"""What every command needs of the operating system. Imported first: it ends the command where that is missing."""

from __future__ import annotations

import sys

try:
    import fcntl  # noqa: F401
    import resource  # noqa: F401
except ImportError as error:
    print(
        f"error: this program needs Linux or macOS, for locks and limits that {sys.platform} lacks ({error}); "
        "on Windows run it under WSL (wsl --install)",
        file=sys.stderr,
    )
    raise SystemExit(2) from None
