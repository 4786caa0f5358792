"""Read and write tensors with JSON facts as one safetensors file, which loads without running code."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor


def packed(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return the content of a file."""
    # Copies, since safetensors refuses tensors that share memory, e.g. tied weights.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    return save(copies, metadata={"facts": json.dumps(facts)})


def unpacked(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, on the CPU, and facts of a file's content."""
    return load(content), facts_alone(content)


def facts_alone(content: bytes) -> dict[str, Any]:
    """Return the facts of a file's content without its tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts: dict[str, Any] = json.loads(header["__metadata__"]["facts"])
    return facts
