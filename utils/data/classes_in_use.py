"""The classes in use: what the user chooses, what the data say where nothing is chosen, and the checks of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from . import NATURAL
from .class_names import listed, named
from .raw import WITHOUT_VALIDATION
from .sources import Source
from .targets import ManyClasses
from .whole_groups import SIDES


@dataclass(frozen=True)
class ClassChoice:
    """Of a task of K classes, what the user says of them; see ``targets.ManyClasses``.

    ``classes`` are original classes in the order of their labels, None all of the training file, in ascending order.
    ``critical`` are some of them, None the one that prepared data mark, else the rarest of a seed's training set, of
    equals the last. Of two classes the second is critical; if ``classes`` is None, that is the marked or rarer one.
    """

    classes: tuple[int, ...] | None = None
    critical: tuple[int, ...] | None = None
    imbalance: str = NATURAL
    factor: float = 0.01


def resolve_classes(
    source: Source, negative_classes: Sequence[int] | None, positive_classes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes to use, checked against every set of the data.

    If one is None, it is all other classes of the training file. If both are, prepared data say which is positive, or
    of two classes it is the rarer one in training; another file with the classes 0 and 1 gives 0 (negative) against 1.

    Raises:
        UserError: no default applies, a set lacks one of the classes, or see ``check_classes``.
    """
    parts, names = dict(source.parts()), source.class_names
    found, counts = np.unique(parts["train"], return_counts=True)
    existing: list[int] = found.tolist()
    if negative_classes is None and positive_classes is None:
        if names is not None and source.positive is not None:
            positive_classes = (names.index(source.positive),)
        elif names is not None and len(existing) == 2:
            positive_classes = (existing[0 if counts[0] < counts[1] else 1],)
        elif names is None and existing == [0, 1]:
            positive_classes = (1,)
        else:
            raise UserError(
                f"{source.name} has no default classes: give --positive_classes, and --negative_classes unless they are"
                f" all others; {source.source} has the classes {listed(named(existing, names))}"
            )
    given = negative_classes if positive_classes is None else positive_classes
    assert given is not None
    rest = tuple(c for c in existing if c not in given)
    negative_classes = rest if negative_classes is None else negative_classes
    positive_classes = rest if positive_classes is None else positive_classes
    check_classes(negative_classes, positive_classes, existing=existing, names=names)
    _check_parts(source, (*negative_classes, *positive_classes), chosen_by=SIDES)
    return tuple(int(c) for c in negative_classes), tuple(int(c) for c in positive_classes)


def resolve_many(source: Source, many: ClassChoice) -> tuple[int, ...]:
    """The original classes of a task of K classes, in the order of their labels, checked against every set.

    Raises:
        UserError: a set lacks one of the classes, or see ``check_many_classes``.
    """
    found, counts = np.unique(dict(source.parts())["train"], return_counts=True)
    existing: list[int] = found.tolist()
    classes = tuple(existing) if many.classes is None else many.classes
    if many.classes is None and len(existing) == 2:  # the critical one comes last
        names, marked = named(existing, source.class_names), source.positive
        if names[0] == marked if marked in names else counts[0] < counts[1]:
            classes = classes[::-1]
    check_many_classes(classes, existing=existing, names=source.class_names)
    _check_parts(source, classes, chosen_by="--classes")
    return tuple(int(c) for c in classes)


def _check_parts(source: Source, classes: Sequence[int], *, chosen_by: str) -> None:
    """Raise UserError unless every set has samples of each class."""
    for split, labels in source.parts():
        missing = sorted(set(classes) - set(np.unique(labels).tolist()))
        if missing:
            remedy = f"; {WITHOUT_VALIDATION}" if split == "validation" else ""
            raise UserError(
                f"every set must have images of each class in use, got none of class"
                f" {listed(named(missing, source.class_names))} in the {split} set ({source.source})"
                f" ({chosen_by}){remedy}"
            )


def critical_labels(many: ClassChoice, targets: ManyClasses, trained: Sequence[int], source: Source) -> tuple[int, ...]:
    """The labels of the critical classes, where ``trained`` are the training samples of each class."""
    if many.critical is None:
        if targets.classes == 2:
            return (1,)
        if source.class_names is not None and source.positive in targets.names(source.class_names):
            return (targets.names(source.class_names).index(source.positive),)
        return (max(label for label, count in enumerate(trained) if count == min(trained)),)
    missing = [c for c in many.critical if c not in targets.in_use]
    if missing:
        raise UserError(
            f"critical_classes must be some of the classes {listed(named(targets.in_use, source.class_names))}, got"
            f" {listed(named(missing, source.class_names))} (--critical_classes, --classes)"
        )
    labels = tuple(targets.in_use.index(c) for c in many.critical)
    if targets.classes == 2 and labels != (1,):
        first, second = named(targets.in_use, source.class_names)
        raise UserError(
            f"of two classes the second is the critical one, got {listed(named(many.critical, source.class_names))};"
            f" give --classes {second} {first} --critical_classes {first}"
        )
    return labels


def check_classes(
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    *,
    existing: Sequence[int],
    names: Sequence[str] | None = None,
) -> None:
    """Raise UserError unless both lists name classes of the data, each class once in total."""
    there = listed(named(sorted(existing), names))
    for flag, classes in (("negative_classes", negative_classes), ("positive_classes", positive_classes)):
        if len(classes) == 0:
            raise UserError(
                f"{flag} must name at least one class, got none; the classes in the data are"
                f" {there} (--negative_classes, --positive_classes)"
            )
        if len(set(classes)) < len(classes):
            raise UserError(f"{flag} must name each class once, got {listed(named(classes, names))} (--{flag})")
        missing = [c for c in classes if c not in existing]
        if missing:
            raise UserError(
                f"{flag}: no training image has class {listed(named(missing, names))}; the classes in the data are"
                f" {there} (--{flag})"
            )
    both = sorted(set(negative_classes) & set(positive_classes))
    if both:
        raise UserError(
            f"negative_classes and positive_classes must not overlap, both name {listed(named(both, names))}"
            " (--negative_classes, --positive_classes)"
        )


def check_many_classes(classes: Sequence[int], *, existing: Sequence[int], names: Sequence[str] | None = None) -> None:
    """Raise UserError unless ``classes`` are at least two classes of the data, each once."""
    there = listed(named(sorted(existing), names))
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise UserError(
            f"classes must name at least two classes, each once, got {listed(named(classes, names)) or 'none'}; the"
            f" classes in the data are {there} (--classes)"
        )
    missing = [c for c in classes if c not in existing]
    if missing:
        raise UserError(
            f"classes: no training image has class {listed(named(missing, names))}; the classes in the data are {there}"
            " (--classes)"
        )
