import io
from pathlib import Path

import pytest
import torch

from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "first")


def message_of(action, *arguments):
    with pytest.raises(UserError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def checkpoint_tensors(generator):
    return {
        "weight": torch.rand(2, 3, 4, 4, generator=generator).to(memory_format=torch.channels_last),
        "half": torch.rand(3, generator=generator).to(torch.bfloat16),
        "count": torch.tensor(7),
        "generator": generator.get_state(),
        "empty": torch.zeros(0, 2),
    }


def test_a_checkpoint_comes_back_as_it_was_written(run, generator):
    tensors, facts = checkpoint_tensors(generator), {"epoch": 1, "name": "é", "nested": {"list": [1, 2.5, None]}}
    run.write_checkpoint(0, "normal", 1, tensors, facts)
    read, read_facts = run.read_checkpoint(0, "normal", 1)
    assert read_facts == facts
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_tensors_that_share_memory_or_need_gradients_can_be_kept(run):
    weight = torch.arange(6.0).requires_grad_()
    run.write_checkpoint(0, "normal", 1, {"first": weight, "tied": weight, "slice": weight[2:4]}, {})
    read, _ = run.read_checkpoint(0, "normal", 1)
    assert read["first"].tolist() == read["tied"].tolist() == list(range(6))
    assert read["slice"].tolist() == [2.0, 3.0]


def test_a_checkpoint_that_was_read_outlives_its_file(run):
    run.write_checkpoint(0, "normal", 1, {"weight": torch.ones(1000)}, {})
    read, _ = run.read_checkpoint(0, "normal", 1)
    run.write_checkpoint(0, "normal", 1, {"weight": torch.zeros(1000)}, {})
    run.prune_checkpoints(0, "normal", keep=set())
    assert read["weight"].sum() == 1000


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_torn_checkpoint_is_named_with_what_to_do(run, keep):
    run.write_checkpoint(0, "normal", 1, {"weight": torch.ones(100)}, {"epoch": 1})
    path = next((run.path / "checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:keep])
    message = message_of(run.read_checkpoint, 0, "normal", 1)
    assert message.startswith(f"{path} was changed after infoplane wrote it")
    assert "delete it and continue the run" in message
    assert message_of(run.check_checkpoint, 0, "normal", 1) == message


def test_a_pickled_checkpoint_is_never_unpickled(run, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    run.write_checkpoint(0, "normal", 1, {}, {})
    pickled = io.BytesIO()
    torch.save({"weight": Bomb()}, pickled)
    run.write_file(next((run.path / "checkpoints").iterdir()), pickled.getvalue())
    assert "is not what infoplane writes" in message_of(run.read_checkpoint, 0, "normal", 1)
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_of_another_tool_is_named(run):
    from safetensors.torch import save

    run.write_checkpoint(0, "normal", 1, {}, {})
    path = next((run.path / "checkpoints").iterdir())
    run.write_file(path, save({"weight": torch.ones(2)}))  # no facts
    for action in (run.read_checkpoint, run.check_checkpoint):
        assert f"{path} is not what infoplane writes" in message_of(action, 0, "normal", 1)


def test_a_missing_checkpoint_is_named(run):
    for action in (run.read_checkpoint, run.check_checkpoint):
        assert "s0-normal-e0009.safetensors is missing; restore it" in message_of(action, 0, "normal", 9)


def test_checking_a_checkpoint_reads_no_tensors(run, monkeypatch):
    run.write_checkpoint(0, "normal", 1, {"weight": torch.ones(100)}, {"epoch": 1})
    monkeypatch.setattr("infoplane.runs.folder.unpacked", None)
    run.check_checkpoint(0, "normal", 1)


def test_checkpoints_are_listed_per_seed_and_training_in_numeric_order(run):
    assert run.checkpoint_epochs(0, "free") == []
    for seed, training, epoch in [
        *((0, "free", 10_000), (0, "free", 9), (0, "free", 200)),
        *((1, "free", 5), (0, "free-ema", 6), (0, "normal", 7), (10, "free", 8)),
    ]:
        run.write_checkpoint(seed, training, epoch, {}, {})
    (run.path / "checkpoints" / "s0-free-enotes.safetensors").write_text("mine")
    assert run.checkpoint_epochs(0, "free") == [9, 200, 10_000]
    assert run.checkpoint_epochs(0, "free-ema") == [6]


def test_pruning_deletes_the_other_epochs_of_one_training_only(run):
    for seed, training, epoch in [*((0, "free", epoch) for epoch in range(4)), (0, "free-ema", 1), (1, "free", 1)]:
        run.write_checkpoint(seed, training, epoch, {}, {})
    run.prune_checkpoints(0, "free", keep={0, 3, 9})
    assert run.checkpoint_epochs(0, "free") == [0, 3]
    assert run.checkpoint_epochs(0, "free-ema") == run.checkpoint_epochs(1, "free") == [1]
