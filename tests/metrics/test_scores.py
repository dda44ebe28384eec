"""The mean over the seeds: the same bits for one image and for many."""

from __future__ import annotations

import numpy as np
import pytest

from utils.metrics.scores import ClassScores, averaged_classes, mean_of_seeds


@pytest.mark.parametrize("seeds", [1, 2, 7, 8, 10, 33])
def test_the_bits_do_not_depend_on_the_number_of_samples(seeds: int) -> None:
    """NumPy's mean of one sample adds eight and more in another order."""
    values = np.random.Generator(np.random.PCG64(seeds)).normal(size=(seeds, 40, 3))
    together = mean_of_seeds(values)
    for row in range(40):
        np.testing.assert_array_equal(mean_of_seeds(values[:, row : row + 1]), together[row : row + 1])
        np.testing.assert_array_equal(mean_of_seeds(values[:, row, 0]), together[row, 0])
    np.testing.assert_allclose(together, values.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(together, np.mean(list(values), axis=0))  # the bits of older results


def test_classes_are_averaged_in_scores_and_outputs() -> None:
    def of(score: float, output: float) -> ClassScores:
        return ClassScores(
            index=np.arange(2),
            label=np.array([0, 2]),
            outputs=np.full((2, 3), output),
            scores=np.full((2, 1), score),
            split=["test"] * 2,
            original_class=np.array([0, 2]),
            names=("a", "b", "c"),
            critical=(2,),
        )

    mean = averaged_classes([of(1.0, 0.0), of(2.0, 6.0)])
    assert mean.scores.tolist() == [[1.5], [1.5]]
    assert mean.outputs.tolist() == [[3.0] * 3] * 2
