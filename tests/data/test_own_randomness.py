"""A data function that shuffles gives splits that do not overlap, and leaves the global generators as they were."""

import random
import sys

import numpy as np
import pytest

from infoplane.data import load_split

SHUFFLES = ["np.random.shuffle(order)", "random.shuffle(order)", "order = np.random.permutation(order)"]


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_function_that_shuffles_gives_splits_that_do_not_overlap(shuffle, tmp_path, monkeypatch):
    (tmp_path / "shuffling.py").write_text(
        "import random\nimport numpy as np\n"
        "def data():\n"
        "    order = np.arange(200)\n"
        f"    {shuffle}\n"
        "    images = np.arange(200, dtype=np.uint8)[:, None, None] * np.ones((200, 4, 4), np.uint8)\n"
        "    both = [(images[order[rows]], order[rows] % 2) for rows in (slice(100), slice(100, None))]\n"
        "    return dict(zip(('train', 'test'), both))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    train, test = (load_split("function", split, folder="shuffling:data", seed=3) for split in ("train", "test"))
    sys.modules.pop("shuffling")
    assert not {*train.images[:, 0, 0, 0].tolist()} & {*test.images[:, 0, 0, 0].tolist()}
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002
