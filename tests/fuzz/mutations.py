"""Valid input made invalid: bytes flipped, cut, put in, spliced; values of a structure swapped for odd ones."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml

TOKENS = [
    *(b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\x1b[2J", b"\x1b]0;x\x07", b"\xe2\x80\xae", b"\n\n"),
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"1" * 41, b"0x" + b"f" * 60, b"1:1:1", b"1_0", b".inf", b"null", b"~"),
    *(b"9223372036854775808", b"1e308", b"0", b"true", b"2020-01-01", b"../../x", b"/etc/x", b"-rf"),
    *(b"&a", b"*a", b"!!python/object/apply:os.mkdir [sprung]", b"!!int ''", b"? "),
    *(b"[" * 60, b"{" * 60, b"- " * 60, b"]", b"}", b": ", b"- ", b"#", b"|", b">", b"---\n", b"'", b'"'),
    *(b"<script>", b"$(touch sprung)", b"`touch sprung`", b"; touch sprung", b"x" * 5000, b"," * 50, b"=", b"\t"),
]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, math.inf, -math.inf, math.nan),
    *("", " ", "0", "1", "x", "../x", "/abs", "-rf", "a\nb", "\x1b[2J", "\0", "nan", "x" * 3000, "<script>"),
    *([], {}, [[]], [None], ["1", 2], {"value": {}}, {"a": [1]}, {"": None}, [[[[[]]]]], [{}], list(range(300))),
    *("é", "\u202e", "１", "1e5", "0x10", "1,2", "1-3", "3-1", "True", "BCE", "cuda", "digits", "lenet5", b"x", {1: 2}),
]


def mutated_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """``data`` with one to four changes; ``others`` are what is spliced in."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(result) + 1)
        end = min(len(result), at + random.choice((1, 2, 8, 40, 400)))
        change = random.randrange(7)
        if change == 0 and at < len(result):
            result[at] ^= 1 << random.randrange(8)
        elif change == 1:
            del result[at : random.choice((end, len(result)))]
        elif change == 2:
            result[at:at] = random.randbytes(random.choice((1, 2, 4, 30)))
        elif change == 3:
            result[at:at] = random.choice(TOKENS)
        elif change == 4:
            result[at:end] = random.choice(TOKENS)
        elif change == 5:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            result[at:end] = other[start : start + random.choice((1, 8, 60, 600))]
        else:
            result[at:at] = result[at:end] * random.choice((1, 2, 50))
    return bytes(result)


def mutated_value(random: Random, value: Any) -> Any:
    """A deep copy in which one to three values, keys or items are others."""
    holder = [copy.deepcopy(value)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        container: Any = holder
        place: Any = 0
        while isinstance(container[place], (dict, list)) and container[place] and random.random() < 0.85:
            container = container[place]
            place = random.choice(list(container)) if isinstance(container, dict) else random.randrange(len(container))
        change = random.randrange(8)
        if change == 0 and container is not holder:
            del container[place]
        elif change == 1 and isinstance(container, dict):
            container[random.choice(("x", "", "seeds", 1, None, "a\x1b", "name", "epoch"))] = container.pop(place)
        elif change == 2 and isinstance(container, list) and container is not holder:
            container[place:place] = [copy.deepcopy(container[place])] * random.choice((1, 3))
        elif change == 3:
            container[place] = [container[place]] * random.choice((1, 2))
        elif change == 4 and isinstance(container[place], (int, float)) and not isinstance(container[place], bool):
            container[place] = str(container[place])
        else:
            container[place] = copy.deepcopy(random.choice(ODD))
    return holder[0]


def as_json(value: Any) -> bytes:
    """JSON, with what JSON does not have as text."""
    return json.dumps(_named(value), default=repr).encode(errors="surrogatepass")


def as_yaml(value: Any) -> bytes:
    """YAML."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()


def _named(value: Any) -> Any:
    """The same with keys that JSON has."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list) else value
