"""Processes that train and measure together."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed

from infoplane.errors import UserError

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed import ProcessGroup

Item = TypeVar("Item")


class LostProcessError(UserError):
    """Another process of the team is gone."""


class Team:
    """A team of one: nothing to share and nobody to tell. `RankedTeam` is one of several.

    Attributes:
        rank: of this process; 0 leads.
        size: processes.
    """

    rank, size = 0, 1

    def rows(self, images: int) -> slice:
        """Return which rows of a batch are this process's: every n-th, so that a place in a batch keeps its owner.

        A batch of fewer images than there are processes is everybody's.
        """
        return slice(None) if images < self.size else slice(self.rank, None, self.size)

    def deal(self, items: Sequence[Item]) -> list[Item]:
        """Return every n-th item: neighbours cost alike, so the shares do too."""
        return list(items[self.rank :: self.size])

    def add_(self, part: Tensor) -> Tensor:
        """Add the parts of all processes, in place; all get the same bits."""
        return part

    def lead_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with the leader's."""

    def gather(self, item: Item) -> list[Item]:
        """Return the items of all processes, in the order of their ranks, to each of them."""
        return [item]

    def tell(self, message: Any = None) -> Any:
        """Return what the leader says, to each process."""
        return message


ALONE = Team()


@contextmanager
def _meeting() -> Iterator[None]:
    """What all processes must take part in."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process of this run has ended or lost its connection; what was finished is kept: give the command "
            "again, and it continues from there"
        ) from error


class RankedTeam(Team):
    """The ranks of a torch.distributed group, which exists already.

    Args:
        group: with this process as a member; None is the default group.

    Raises:
        ValueError: this process is not a member.
    """

    def __init__(self, group: "ProcessGroup | None" = None) -> None:
        self._group = group
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)
        if self.rank < 0:
            raise ValueError("group must have this process as a member, got a group of others")

    def add_(self, part: Tensor) -> Tensor:
        with _meeting():
            distributed.all_reduce(part, group=self._group)
        return part

    def lead_(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            same = tensor.detach().contiguous()  # some layouts cannot be sent
            with _meeting():
                distributed.broadcast(same, group=self._group, group_src=0)
            tensor.detach().copy_(same)

    def gather(self, item: Item) -> list[Item]:
        items: list[Any] = [None] * self.size
        with _meeting():
            distributed.all_gather_object(items, item, group=self._group)
        return items

    def tell(self, message: Any = None) -> Any:
        said = [message]
        with _meeting():
            distributed.broadcast_object_list(said, group=self._group, group_src=0)
        return said[0]


def together(own: Iterable[Item], team: Team) -> list[Item]:
    """Return the items that all processes found, in order; where one met a ValueError, all raise it.

    Args:
        own: sortable by their first elements, numbers that no two items share; consuming it may raise.
        team: who found them.
    """
    items: list[Item] = []
    error: ValueError | None = None
    try:
        items.extend(own)
    except ValueError as met:
        error = met
    everyone = team.gather((items, error))
    for _, met_there in everyone:
        if met_there is not None:
            raise met_there
    return sorted((item for found, _ in everyone for item in found), key=lambda item: item[0])  # type: ignore[index]


def check_equal(values: Tensor, team: Team, *, name: str) -> None:
    """Raise ValueError on every process unless all hold the same numbers, `(count,)` float64."""
    everyone = torch.stack(team.gather(values.cpu()))
    largest, smallest = everyone.amax(dim=0), everyone.amin(dim=0)
    # Devices may round sums differently. Written so that NaN fails too.
    if not bool((largest - smallest <= 1e-12 * largest.abs()).all()):
        raise ValueError(f"{name} must be the same on every rank of the group, got different ones")


def add_gradients_(parameters: Iterable[torch.nn.Parameter], team: Team, share: float) -> None:
    """Replace each gradient with the sum over the team of `share` times its gradient, sent as one tensor.

    Args:
        parameters: those without a gradient have none on any process.
        team: whose gradients are added.
        share: of this process in the batch; the shares of all are 1 together.
    """
    gradients = [weights.grad for weights in parameters if weights.grad is not None]
    if not gradients:
        return
    together = team.add_(torch.cat([gradient.flatten() for gradient in gradients]).mul_(share))
    parts = torch.split(together, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))
