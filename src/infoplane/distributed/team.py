"""Team: processes that train and measure together, with the operations that share work between them."""

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
    """Another process of the team has ended."""


class Team:
    """A team of one process, which shares no work. `RankedTeam` is a team of several.

    Attributes:
        rank: rank of this process; rank 0 leads.
        size: number of processes.
    """

    rank, size = 0, 1

    def rows(self, images: int) -> slice:
        """Return the rows of a batch that this process computes: every n-th, whatever the size of the batch.

        If there are fewer images than processes, every process computes the whole batch.
        """
        return slice(None) if images < self.size else slice(self.rank, None, self.size)

    def deal(self, items: Sequence[Item]) -> list[Item]:
        """Return every n-th item. Neighbouring items cost about the same, so the shares do too."""
        return list(items[self.rank :: self.size])

    def add_(self, part: Tensor) -> Tensor:
        """Replace `part`, in place, with the sum over all processes; all get the same bits."""
        return part

    def lead_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of rank 0."""

    def gather(self, item: Item) -> list[Item]:
        """Return the items of all processes, in the order of ranks; every process gets the list."""
        return [item]

    def tell(self, message: Any = None) -> Any:
        """Return the message of rank 0, in every process."""
        return message


ALONE = Team()


@contextmanager
def _meeting() -> Iterator[None]:
    """Turn the error of a collective operation into a LostProcessError."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process of this run has ended or lost its connection; what was finished is kept: give the command "
            "again, and it continues from there"
        ) from error


class RankedTeam(Team):
    """The ranks of an existing torch.distributed group.

    Args:
        group: a group that this process is a member of; None is the default group.

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
    """Return the items of all processes, sorted. If one process raises a ValueError, all raise it.

    Args:
        own: items of this process, sorted by their first elements, which are different numbers. Iteration may raise.
        team: the processes.
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
    # Devices may round sums differently. The comparison is false for NaN, so that NaN fails too.
    if not bool((largest - smallest <= 1e-12 * largest.abs()).all()):
        raise ValueError(f"{name} must be the same on every rank of the group, got different ones")


def add_gradients_(parameters: Iterable[torch.nn.Parameter], team: Team, share: float) -> None:
    """Replace each gradient with the sum over the team of `share` times its gradient, sent as one tensor.

    Args:
        parameters: a parameter without a gradient has none on any process.
        team: the processes whose gradients are added.
        share: share of the batch that this process has; the shares of all processes sum to 1.
    """
    gradients = [weights.grad for weights in parameters if weights.grad is not None]
    if not gradients:
        return
    together = team.add_(torch.cat([gradient.flatten() for gradient in gradients]).mul_(share))
    parts = torch.split(together, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))
