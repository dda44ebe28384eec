"""Read untrusted YAML within limits of size, depth and number of values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .text_files import MOST_DEPTH, MOST_DIGITS, UnreadableError, read_text

MOST_BYTES = 2**20  # a run's config.yaml has 5 kB
MOST_NODES = 20_000  # values; those of an alias count at each use


def read_yaml(path: Path) -> Any:
    """The content of a YAML file that this program wrote: values of YAML's types, lists and mappings.

    Raises:
        UnreadableError: it is not a regular file, not YAML, too large, nested too deep, has too many values once its
            aliases are expanded, or has a key twice.
        OSError: it cannot be opened.
    """
    return _read(path, _Loader)


def read_yaml_as_written(path: Path) -> Any:
    """The content of a YAML file that a user wrote: each value is the text that stands there, or None for null.

    YAML would read ``1:20`` as 80, ``010`` as 8, ``1_3`` as 13, ``no`` as False and ``1.10`` as 1.1. As texts they mean
    what they mean on the command line.

    Raises:
        UnreadableError, OSError: as :func:`read_yaml`.
    """
    return _read(path, _AsWritten)


def _read(path: Path, loader: type[_Loader]) -> Any:
    try:
        return loader(read_text(path, limit_bytes=MOST_BYTES)).get_single_data()
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

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; of two equal keys YAML would silently keep the last."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UnreadableError(f"it has {key.value:.80} twice (line {key.start_mark.line + 1}); remove one")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def short_number(self, node: yaml.ScalarNode) -> float:
        """A number of limited length: many digits or, in base 60, many parts take very long to parse."""
        if len(node.value) > MOST_DIGITS:
            raise UnreadableError(f"it has a number of more than {MOST_DIGITS} digits")
        read = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        return read(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.short_number)


class _AsWritten(_Loader):
    """The loader whose scalars are texts."""

    def text(self, node: yaml.ScalarNode) -> str:
        """The value as it is written."""
        return str(node.value)


for _tag in ("int", "float", "bool", "timestamp", "binary", "value"):
    _AsWritten.add_constructor(f"tag:yaml.org,2002:{_tag}", _AsWritten.text)
