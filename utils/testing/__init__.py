"""Contract checks for components, ours and your own. They need no test framework and work in anybody's test suite::

    from rarecall.testing import check_loss
    check_loss(MyLoss)

A check runs every promise of the contract and raises one ``ContractError`` that lists those that are broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_attributes

if TYPE_CHECKING:
    from .constraint_contract import check_constraint as check_constraint
    from .loss_contract import check_loss as check_loss
    from .model_contract import check_model as check_model
    from .promises import ContractError as ContractError
    from .sampler_contract import check_sampler as check_sampler

__getattr__, __dir__, __all__ = lazy_attributes(
    [
        "constraint_contract:check_constraint",
        "loss_contract:check_loss",
        "model_contract:check_model",
        "promises:ContractError",
        "sampler_contract:check_sampler",
    ],
    package=__name__,
)
