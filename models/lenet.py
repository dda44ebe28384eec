"""LeNet5 with ReLU and average pooling."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from .heads import HeadFactory
from .image_size import check_image_size
from .initialisation import drawn_by_generator

GRID = 5  # side of the feature map that the dense layers take
SMALLEST_IMAGE = 18  # gives exactly that side after the second convolution


def _pool_to_grid(x: Tensor) -> Tensor:
    """Average pooling to 5 x 5 from any size, by plain pooling if the size is a multiple of 5."""
    height, width = x.shape[2:]
    if height % GRID == 0 and width % GRID == 0:
        return functional.avg_pool2d(x, (height // GRID, width // GRID))
    return functional.adaptive_avg_pool2d(x, GRID)


class LeNet5(nn.Module):
    """conv 6@5x5, pool 2, conv 16@5x5, pool to 5 x 5, then 400-120-84-outputs.

    Sides below 32 pixels are padded by 2 (28 becomes 32). At 28 and 32 pixels the last pooling is the 2 x 2 of the
    original, for larger images its windows are larger.

    Reference: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, with ReLU and
    fully connected channels as in Hillman & Hocking, JMLR 24 (2023).
    """

    def __init__(self, *, channels: int, image_size: tuple[int, int], head: HeadFactory) -> None:
        super().__init__()
        height, width = image_size
        padding = (2 if height < 32 else 0, 2 if width < 32 else 0)
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.dense1 = nn.Linear(16 * GRID * GRID, 120)
        self.dense2 = nn.Linear(120, 84)
        self.head = head(84)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.avg_pool2d(functional.relu(self.conv1(images)), 2)
        x = _pool_to_grid(functional.relu(self.conv2(x)))
        x = x.flatten(1)  # (B, 400)
        x = functional.relu(self.dense1(x))
        x = functional.relu(self.dense2(x))
        outputs: Tensor = self.head(x)
        return outputs


@drawn_by_generator
def lenet5(
    *, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int] = ()
) -> LeNet5:
    """LeNet5 for images of 18 x 18 and larger."""
    check_image_size(image_size, smallest=SMALLEST_IMAGE, model="lenet5")
    return LeNet5(channels=channels, image_size=image_size, head=head)
