"""Optimisers of torch that leave its compiler out: importing that takes 1.5 to 3 seconds, and nothing here needs it."""

import inspect
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

_GUARDED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")  # torch keeps its compiler out of them


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return the optimiser with methods that do not import `torch._dynamo` when they are first called."""
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in _GUARDED}
    # Torch's own wrapper of `step`, which also imports the compiler, switches gradients off.
    plain["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast("type[Kind]", type(kind.__name__, (kind,), plain))


SGD = _uncompiled(torch.optim.SGD)
Adam = _uncompiled(torch.optim.Adam)
AdamW = _uncompiled(torch.optim.AdamW)
