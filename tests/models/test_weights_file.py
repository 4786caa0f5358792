"""Files of weights from elsewhere: what is read, and what each kind of broken file is called."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infoplane.errors import UserError
from infoplane.models.load_weights import load_weights
from infoplane.models.weights_file import read_weights


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return network().state_dict()


def written(path, found):
    if path.suffix == ".safetensors":
        save_file(found, path)
    else:
        torch.save(found, path)
    return path


def assert_loads(found):
    model = network()
    load_weights(model, found, of="--weights file", named="mlp")
    for name, value in model.state_dict().items():
        assert torch.equal(value, state()[name])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.ckpt"])
def test_weights_and_checksum_are_read(tmp_path, name):
    path = written(tmp_path / name, state())
    found = read_weights(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert_loads(found.weights)


@pytest.mark.parametrize(
    "nested",
    [
        lambda found: {"state_dict": found, "epoch": 3},
        lambda found: {"model": found, "optimizer": {"state": {}}},
        lambda found: {"model_state_dict": found, "loss": 0.1},
        lambda found: {"model": {"state_dict": found}},
    ],
)
def test_nested_weights_are_found(tmp_path, nested):
    assert_loads(read_weights(written(tmp_path / "w.pt", nested(state()))).weights)


def test_a_dict_that_holds_itself_is_refused(tmp_path):
    circle = {"lr": 0.1}
    circle["model"] = circle
    with pytest.raises(UserError, match="holds no weights by name; it has lr, model"):
        read_weights(written(tmp_path / "w.pt", circle))


def test_a_header_nested_too_deeply_is_refused(tmp_path):
    header = b"[" * 200_000
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match="is no safetensors file"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module."])
def test_prefixes_of_wrappers_are_removed(tmp_path, prefix):
    found = {f"{prefix}{name}": value for name, value in state().items()}
    assert_loads(read_weights(written(tmp_path / "w.pt", found)).weights)


def test_a_network_that_has_such_names_itself_keeps_them():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Linear(2, 2)

    model, other = Wrapper(), Wrapper()
    load_weights(model, {f"module.{name}": value for name, value in other.state_dict().items()}, of="x", named="y")
    assert torch.equal(model.model.weight, other.model.weight)


def test_the_old_form_of_torch_save_is_read(tmp_path):
    torch.save(state(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert_loads(read_weights(tmp_path / "w.pth").weights)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_file_never_runs(tmp_path, old):
    content = {"state_dict": state(), "args": Trap(tmp_path / "ran")}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(
        UserError, match=r"holds more than tensors \(it names \w+.open\), and reading it could run code"
    ):
        read_weights(tmp_path / "w.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap(tmp_path / "ran"), protocol=2))
    with pytest.raises(UserError, match=r"holds more than tensors \(it names \w+.open\)"):
        read_weights(tmp_path / "plain.pt")
    assert not (tmp_path / "ran").exists()


def test_a_whole_network_is_refused_with_what_to_save(tmp_path):
    torch.save(network(), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: download it again"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page, not weights"),
        (b"<HTML><head></head></HTML>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "is a Git LFS pointer"),
    ],
)
def test_what_a_failed_download_leaves_is_named(tmp_path, suffix, content, message):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_weights(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "old.pt"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_truncated_download_is_named(tmp_path, name, share):
    path = tmp_path / name
    if name == "old.pt":
        torch.save(state(), path, _use_new_zipfile_serialization=False)
    else:
        written(path, state())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"{name} is truncated, it ends after [\d,]+ (of [\d,]+ )?bytes"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_other_bytes_are_refused(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(bytes(range(7, 200)) * 5)
    with pytest.raises(UserError, match=rf"w\{suffix} is no (safetensors file|file of torch.save)"):
        read_weights(path)


def test_files_that_are_not_there_or_have_another_suffix_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(UserError, match=r"must end in .safetensors, .pt, .pth or .ckpt"):
        read_weights(tmp_path / "w.h5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds list, not weights by name"),
        ({"epoch": 3, "lr": 0.1}, "holds no weights by name; it has epoch, lr"),
        ({}, "holds no weights by name; it has nothing"),
    ],
)
def test_other_content_is_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_weights(written(tmp_path / "w.pt", content))


def test_a_checkpoint_of_a_run_is_recognised(tmp_path):
    path = written(tmp_path / "w.safetensors", {f".model.{name}": value for name, value in state().items()})
    with pytest.raises(UserError, match="is a checkpoint of an infoplane run: name the folder of the run"):
        read_weights(path)


def test_misfits_are_one_line_with_the_first_names():
    found = state()
    del found["0.bias"]
    found["2.weight"] = torch.zeros(7, 4)
    found |= {f"head.{place}": torch.zeros(1) for place in range(5)}
    with pytest.raises(UserError) as refusal:
        load_weights(network(), found, of="--weights w.pt", named="mlp")
    assert str(refusal.value) == (
        "--weights w.pt does not fit the model mlp: missing 0.bias; not in the model: head.0, head.1, head.2 and 2 "
        "more; other shapes: 2.weight is (7, 4), not (2, 4)"
    )


def test_nothing_is_loaded_where_shapes_do_not_fit():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match="other shapes"):
        load_weights(model, state() | {"2.bias": torch.zeros(3)}, of="x", named="y")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batch_counts_that_old_files_lack_are_no_misfit():
    found = {name: value for name, value in state().items() if "num_batches" not in name}
    model = network()
    load_weights(model, found, of="x", named="y")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in found.items())


def test_two_weights_of_one_name_are_refused():
    found = state()
    found["module.0.bias"] = found["0.bias"]
    with pytest.raises(UserError, match=r"two weights are called 0.bias without their prefixes"):
        load_weights(network(), found, of="x", named="y")


def test_numbers_that_the_network_cannot_hold_are_refused():
    # copy_ would drop the imaginary part, and read the integers of a quantised network as weights.
    for numbers, named in ((torch.complex64, "complex64"), (torch.int8, "int8"), (torch.bool, "bool")):
        found = {**state(), "2.bias": state()["2.bias"].to(numbers)}
        with pytest.raises(
            UserError, match=rf"x does not fit the model y: other numbers: 2\.bias is {named}, not float32"
        ):
            load_weights(network(), found, of="x", named="y")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_weights_are_refused():
    quantised = torch.quantize_per_tensor(state()["2.bias"], scale=0.1, zero_point=0, dtype=torch.qint8)
    with pytest.raises(UserError, match=r"2\.bias is qint8, not float32"):
        load_weights(network(), {**state(), "2.bias": quantised}, of="x", named="y")


def test_floats_that_would_become_infinite_are_refused():
    large = torch.full_like(state()["2.bias"], 1e300, dtype=torch.double)
    with pytest.raises(UserError, match=r"2\.bias is float64, not float32"):
        load_weights(network(), {**state(), "2.bias": large}, of="x", named="y")


def test_weights_of_half_and_of_double_precision_are_loaded():
    for precision in (torch.bfloat16, torch.half, torch.double):
        own = network()
        load_weights(own, {name: one.to(precision) for name, one in state().items()}, of="x", named="y")
        found = own.state_dict()["2.bias"]
        assert torch.equal(found, state()["2.bias"].to(precision).float())


def test_complex_weights_of_a_complex_network_keep_their_imaginary_parts():
    own, other = (torch.nn.Linear(2, 2, dtype=torch.complex64) for _ in range(2))
    load_weights(own, other.state_dict(), of="x", named="y")
    assert torch.equal(own.weight, other.weight)
