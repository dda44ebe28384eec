"""``python -m PACKAGE.system.start_ranks ARGUMENTS``: torchrun that ends with its parent, and its ranks with it.

torchrun starts each rank in a session of its own. A SIGKILL to torchrun and its process group does not reach them, and
they would go on training. Here each rank asks the kernel to be ended with torchrun, as it is in main.py's
``end_with_parent``, however that ends.
"""

from __future__ import annotations

import sys

from .child_processes import adopt_children, end_with_parent


def main(argv: list[str]) -> None:
    """torchrun with these arguments; it exits as torchrun does."""
    end_with_parent()
    adopt_children()
    from torch.distributed.run import main as torchrun

    torchrun(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
