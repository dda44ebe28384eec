"""What the kernels of the site's build start with: ``%%bash`` whose output is one text, in the order of its lines.

IPython's own hands the output on in pieces of 100 characters, each of which a page shows as a line. Readers need
nothing of this: in their notebooks IPython's own prints the same.
"""

from __future__ import annotations

import re
import subprocess

from IPython.core.magic import register_cell_magic

# A terminal overwrites the progress of a seed, epoch after epoch: what is left is the last one.
OVERWRITTEN = re.compile(r"^(seed \d+  )epoch .* left\n(?=\1epoch .* left$)", flags=re.MULTILINE)


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run the cell by bash, with the flags of the line; CalledProcessError if it fails."""
    command = ["bash", *line.split()]
    done = subprocess.run(command, input=cell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(OVERWRITTEN.sub("", done.stdout).rstrip())
    done.check_returncode()
