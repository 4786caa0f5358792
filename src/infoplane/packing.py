"""Tensors with JSON facts in one safetensors file, which loads without running code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


def packed(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return the content of a file."""
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    return save(copies, metadata={"facts": json.dumps(facts)})


def unpacked(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, on the CPU, and facts of a file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return tensors, facts_alone(path)


def facts_alone(path: Path) -> dict[str, Any]:
    """Return the facts of a file without reading its tensors; a file that is not as long as it says is refused."""
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["facts"])
        return facts
