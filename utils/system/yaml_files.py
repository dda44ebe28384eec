"""Read untrusted YAML within limits of size, depth and number of values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .text_files import MOST_DEPTH, MOST_DIGITS, UnreadableError, read_text

MOST_BYTES = 2**20  # a run's config.yaml has 5 kB
MOST_NODES = 20_000  # values; those of an alias count at each use


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: plain values, lists and mappings.

    Raises:
        UnreadableError: it is not a regular file, not YAML, too large, nested too deep, or has too many values once
            its aliases are expanded.
        OSError: it cannot be opened.
    """
    try:
        loader = _Loader(read_text(path, limit_bytes=MOST_BYTES))
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        # without PyYAML's excerpt, which takes several lines
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise UnreadableError(f"{error.problem}{line}") from None
    except yaml.YAMLError as error:
        raise UnreadableError(" ".join(str(error).split())) from None
    except UnreadableError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # raised by PyYAML for tags such as !!int ''
        raise UnreadableError(f"a value does not fit its tag ({type(error).__name__})") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with limits that are enforced while the text is parsed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node with its children."""
        event = self.peek_event()
        before = self._nodes
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise UnreadableError(f"it is nested more than {MOST_DEPTH} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise UnreadableError(f"it has an alias within itself: *{event.anchor:.40}")
            self._nodes += self._sizes[node]
        else:
            self._nodes += 1
            self._sizes[node] = self._nodes - before
        if self._nodes > MOST_NODES:
            raise UnreadableError(f"it has more than {MOST_NODES:,} values, counting those of an alias at each use")
        return node

    def short_number(self, node: yaml.ScalarNode) -> float:
        """A number of limited length: many digits or, in base 60, many parts take very long to parse."""
        if len(node.value) > MOST_DIGITS:
            raise UnreadableError(f"it has a number of more than {MOST_DIGITS} digits")
        read = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        return read(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.short_number)
