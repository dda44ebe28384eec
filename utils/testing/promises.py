"""What the four contract checks share: a list of promises, the error that names the broken ones, helpers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from io import BytesIO
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..errors import one_line

T = TypeVar("T")


class ContractError(AssertionError):
    """A component breaks its contract. The text lists each broken promise with what was expected and what came."""


class Promises(Generic[T]):
    """The promises of one contract, in order. Each is a function of the component, or of what builds it."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[T], None]] = {}

    def __call__(self, text: str) -> Callable[[Callable[[T], None]], Callable[[T], None]]:
        """Decorator: add a promise under ``text``."""

        def add(check: Callable[[T], None]) -> Callable[[T], None]:
            self._checks[text] = check
            return check

        return add

    @property
    def texts(self) -> list[str]:
        """The promises, in order."""
        return list(self._checks)

    def check(self, name: str, component: T, *, skip: Collection[str] = ()) -> None:
        """Run every promise but those in ``skip``; raise one ``ContractError`` for all that are broken."""
        broken: list[str] = []
        checks = {text: check for text, check in self._checks.items() if text not in skip}
        for text, check in checks.items():
            try:
                check(component)
            except ContractError as error:
                broken.append(f"{text}: {error}")
            except Exception as error:  # whatever the component raises is a finding
                broken.append(f"{text}: {type(error).__name__}: {one_line(error)}")
        if broken:
            raise ContractError("\n  - ".join([f"{name} breaks {len(broken)} of {len(checks)} promises:", *broken]))


def expect(condition: bool, expected: str, value: object) -> None:
    """Raise ``ContractError`` with what was expected and what came, unless ``condition`` holds."""
    if not condition:
        raise ContractError(f"expected {expected}, got {value}")


def expect_error(kind: type[Exception], call: Callable[[], object], what: str) -> None:
    """Raise ``ContractError`` unless ``call`` raises ``kind``."""
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise ContractError(
            f"expected {kind.__name__} for {what}, got {type(error).__name__}: {one_line(error)}"
        ) from error
    raise ContractError(f"expected {kind.__name__} for {what}, got no error")


def expect_scalar(value: Tensor, what: str) -> None:
    """Raise ``ContractError`` unless ``value`` is a finite scalar with a graph."""
    expect(value.shape == (), f"a scalar {what}", f"shape {tuple(value.shape)}")
    expect(value.requires_grad, f"a value with a graph {what}", "a constant")
    expect(bool(value.isfinite()), f"a finite value {what}", value.item())


def gradient_of(value: Tensor, leaf: Tensor, what: str) -> Tensor:
    """The gradient of a scalar, which must be finite; ``value`` is checked first."""
    expect_scalar(value, what)
    (gradient,) = torch.autograd.grad(value, leaf)
    expect(bool(gradient.isfinite().all()), f"a finite gradient {what}", gradient.tolist())
    return gradient


def saved_and_loaded(state: Any) -> Any:
    """``state`` as a checkpoint gives it back."""
    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def name_of(component: object) -> str:
    """The name of a class or function; of an instance that of its class."""
    return str(getattr(component, "__name__", type(component).__name__))
