"""Who uses what a layer gives, read from the graph of one pass: it is not written in the layers."""

from torch import Tensor
from torch.autograd.graph import Node


def note(known: dict[Node, list[str]], tensor: Tensor, name: str) -> None:
    """Remember under which name a tensor was seen."""
    if tensor.grad_fn is not None:
        known.setdefault(tensor.grad_fn, []).append(name)


def consumers(last: Node | None) -> dict[Node, list[Node]]:
    """Return for each node of the graph that ends in `last` which others take its output."""
    takers: dict[Node, list[Node]] = {}
    ahead = [last] if last is not None else []
    while ahead:
        taker = ahead.pop()
        for node, _ in taker.next_functions:
            if node is not None:
                if node not in takers:
                    ahead.append(node)
                takers.setdefault(node, []).append(taker)
    return takers
