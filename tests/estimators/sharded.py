"""One of two processes that share an estimate: run with rank, rendezvous file and where to leave what it found."""

from __future__ import annotations

import sys

import torch
from torch import distributed

from infoplane.estimators import pairwise, row_products
from infoplane.estimators.kde import kde_information, kde_sweep


def arguments() -> tuple[torch.Tensor, torch.Tensor]:
    """Three groups of classes, two of them so tight and far that their blocks need float64."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (600,), generator=generator)
    points = torch.randn(600, 300, generator=generator) * torch.tensor([0.02, 0.002, 0.002])[labels, None]
    return points + 30 * torch.randn(3, 300, generator=generator)[labels], labels


def estimates(group: distributed.ProcessGroup | None = None) -> list:
    points, labels = arguments()
    return kde_sweep(
        points,
        labels,
        noise_variances=[0.1, 0.02],
        permutations=4,
        generator=torch.Generator().manual_seed(1),
        group=group,
    )


def main(rank: int, rendezvous: str, results: str) -> None:
    row_products.BLOCK = 60  # 10 rows of blocks, 55 blocks
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    world = distributed.group.WORLD
    computed = []
    products = pairwise.KernelBlocks._products

    def counted(blocks, pairs):
        computed.extend(pairs)
        yield from products(blocks, pairs)

    pairwise.KernelBlocks._products = counted
    found = {"estimates": estimates(world), "computed": list(computed)}
    points, labels = arguments()
    for name, part, own_labels, seed in (
        ("activations", points + rank, labels, 0),
        ("samples", points[rank:], labels[rank:], 0),
        ("labels", points, labels.roll(rank), 0),
        ("generators", points, labels, rank),
    ):
        generator = torch.Generator().manual_seed(seed)
        try:
            kde_information(part, own_labels, noise_variance=0.1, permutations=2, generator=generator, group=world)
        except ValueError as error:
            found[name] = str(error)
    torch.save(found, f"{results}{rank}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
