"""Which files of a folder are checkpoints, and of which epoch each is."""

import pytest

from infoplane.errors import UserError
from infoplane.loops.checkpoint_files import checkpoints_in, natural_order


def folder_of(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "epochs"),
    [
        (["epoch_003.pt", "epoch_012.pt"], [3, 12]),
        (["model-12.safetensors", "model-3.safetensors"], [3, 12]),
        (["ckpt5"], None),
        (["ckpt5.pth"], [5]),
        (["epoch=4-step=500.ckpt", "epoch=9-step=1000.ckpt"], [4, 9]),
        (["resnet18_ep2.pt", "resnet18_ep10.pt"], [2, 10]),
        (["wrn-10-1_model-7.pt", "wrn-10-1_model-8.pt"], [7, 8]),
        (["model_10_net_7.pt", "model_10_net_8.pt"], [7, 8]),
        (["2024-11-01_epoch3.pt", "20241102_ckpt-4.pt"], [3, 4]),
        (["epoch_2_20241101.pt"], [2]),
        (["EPOCH 1 acc 0.93.pt", "EPOCH 2 acc 0.95.pt"], [1, 2]),
        (["model_3_acc0.91.pt", "model_4_acc0.93.pt"], [3, 4]),
        (["resnet18_model-3.pt"], [3]),
        (["3.pt", "20.pt"], [3, 20]),
        (["e2.pt", "checkpoint_7_best.pt"], [2, 7]),
    ],
)
def test_the_epoch_is_read_from_the_name(names, epochs, tmp_path):
    folder = folder_of(tmp_path, *names)
    if epochs is None:
        with pytest.raises(UserError, match="holds no file of weights"):
            checkpoints_in(folder)
    else:
        assert list(checkpoints_in(folder)) == epochs


def test_a_superscript_is_no_number(tmp_path):
    assert list(checkpoints_in(folder_of(tmp_path, "x²_epoch3.pt"))) == [3]


def test_other_and_hidden_files_are_not_checkpoints(tmp_path):
    folder = folder_of(tmp_path, "epoch1.pt", ".epoch2.pt", "log3.txt")
    assert [path.name for path in checkpoints_in(folder).values()] == ["epoch1.pt"]


def test_names_are_in_natural_order():
    assert sorted(["e10", "e9", "a", "e1b"], key=natural_order) == ["a", "e1b", "e9", "e10"]


def test_typed_epochs_are_those_of_the_files_in_natural_order(tmp_path):
    folder = folder_of(tmp_path, "best.pt", "step10.pt", "step9.pt")
    assert {epoch: path.name for epoch, path in checkpoints_in(folder, (7, 1, 2)).items()} == {
        1: "step9.pt",
        2: "step10.pt",
        7: "best.pt",
    }


@pytest.mark.parametrize(
    ("names", "typed", "words"),
    [
        (["best.pt", "epoch1.pt"], (), "best.pt has no number in its name.*--epochs.*best.pt, epoch1.pt"),
        (["a1-2.pt", "a2-1.pt"], (), r"a1-2.pt has several numbers \(1, 2\) in its name"),
        (["epoch1.pt", "epoch01.pth"], (), "epoch1.pt and epoch01.pth are both of epoch 1|epoch01.pth and epoch1.pt"),
        (["epoch1.pt"], (1, 2), "--epochs has 2 numbers, and there are 1 files: epoch1.pt"),
        (["epoch1.pt"], (-1,), "--epochs must not be negative, got -1"),
        ([], (), "holds no file of weights"),
        (["model_20261129141500123456789.pt"], (), "20261129141500123456789 is no number of epochs; .*--epochs"),
        (
            ["acc0.91.pt"],
            (),
            r"acc0.91.pt has a number \(0.91\) in its name that may be none, so its epoch is not known",
        ),
        (["acc0.91.pt", "acc0.93.pt"], (), r"a number \(0.91\) in its name that may be none; .*--epochs|may be none"),
        (["resnet18.pt"], (), r"a number \(18\) in its name that may be none"),
        (["resnet18.pt", "resnet34.pt"], (), "may be none"),
        (["resnet-18.pt"], (), "may be none"),
        (["seed_1.pt", "seed_2.pt"], (), "may be none"),
        (["lr1e-3.pt"], (), "none is clearly an epoch"),
        (["epoch1.5.pt"], (), "may be none"),
        (["model-2026-11-29.pt"], (), "none is clearly an epoch"),
        (["epoch1.pt"], (99999999999,), "99999999999 is no number of epochs"),
        (["eps-8.pt", "eps-4.pt"], (), r"eps-4.pt has a number \(4\) .*; name it like epoch_3.pt, .*--epochs"),
        (["beta_1.pt", "beta_2.pt"], (), "beta_1.pt .*name it like epoch_3.pt"),
        (["rank-0.pt", "rank-1.pt"], (), "rank-0.pt .*name it like epoch_3.pt"),
        (["model_3_rank-0.pt", "model_3_rank-1.pt"], (), "none is clearly an epoch"),
        (["model_3_rank0.pt", "model_3_rank1.pt"], (), "are both of epoch 3"),
        (["lenet-3.pt", "lenet-20.pt"], (), "may be none"),
        (["wrn-28-4.pt", "wrn-28-10.pt"], (), "none is clearly an epoch"),
        (["8_eps.pt", "4_eps.pt"], (), "may be none"),
        (["step-500.pt", "step-1000.pt"], (), "may be none"),
        (["20241101.pt"], (), "20241101.pt .*name it like epoch_3.pt"),
        (["20241101.pt", "20241102.pt"], (), "may be none"),
        (["model-20241101.pt", "model-20241102.pt"], (), "may be none"),
        (["epoch20241101.pt"], (), "may be none"),
        (["model-2024-11-01.pt", "model-2025-11-01.pt"], (), "none is clearly an epoch"),
    ],
)
def test_what_is_not_clear_is_refused(names, typed, words, tmp_path):
    with pytest.raises(UserError, match=words):
        checkpoints_in(folder_of(tmp_path, *names), typed)


def test_a_file_or_nothing_in_place_of_the_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path, "epoch1.pt")
    with pytest.raises(UserError, match="is a file; name the folder"):
        checkpoints_in(folder / "epoch1.pt")
    with pytest.raises(UserError, match="is no folder"):
        checkpoints_in(folder / "nowhere")
