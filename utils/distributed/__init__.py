"""One model trained by several processes, with the losses and gradients of one process, in anybody's own loop::

    from rarecall.distributed import convert_batch_norm, gather, shard

    model = DistributedDataParallel(convert_batch_norm(model))
    for batch in sampler:                                       # the same batches on every rank
        own = shard(batch)
        outputs, targets, indices = gather(model(images[own]), labels[own], own, size=len(batch))
        (loss(outputs, targets, indices) + constraint.penalty(loss.score(outputs), targets, indices)).backward()

Without a process group all of them leave their arguments as they are, so that the same loop runs on one device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_attributes

if TYPE_CHECKING:
    from .gathering import gather as gather
    from .global_batch_norm import GlobalBatchNorm as GlobalBatchNorm
    from .global_batch_norm import convert_batch_norm as convert_batch_norm
    from .sharding import ShardedSampler as ShardedSampler
    from .sharding import shard as shard

__getattr__, __dir__, __all__ = lazy_attributes(
    [
        "gathering:gather",
        "global_batch_norm:GlobalBatchNorm",
        "global_batch_norm:convert_batch_norm",
        "sharding:ShardedSampler",
        "sharding:shard",
    ],
    package=__name__,
)
