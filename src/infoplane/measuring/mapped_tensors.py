"""Tensors in temporary files, for layer outputs that would take too much memory."""

import math
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def mapped_empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a tensor whose numbers are in a temporary file, which the system pages in and out.

    The file is in the folder that `TMPDIR` names. It has no name of its own, and is gone with the tensor, or with the
    process.

    Args:
        shape: sizes, each at least 1.
        dtype: any type.

    Raises:
        OSError: the disk has too little room.
    """
    size = math.prod(shape) * dtype.itemsize
    with tempfile.TemporaryFile(prefix="infoplane-") as file:
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process at the first write
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return torch.from_numpy(np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))).view(dtype).view(*shape)
