"""Checkpoints: valid ones, and all other files that may be given as one."""

import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src.checkpoints import location
from src.checkpoints.checkpoint import (
    load_checkpoint,
    load_checkpoint_or_weights,
    load_trained,
    save_checkpoint,
)
from src.checkpoints.contents import stored_config, strip_training_state
from src.checkpoints.location import PRETRAINED, newest_checkpoint, resolve_checkpoint
from src.checkpoints.onnx_model import load_onnx
from src.core.config import Config, parse_config
from src.core.console import console_logging
from src.core.errors import CheckpointError, LipSyncError, MissingFileError
from src.models.embedding import embed_audio, embed_video
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel, example_input
from src.scoring.calibration import UNFITTED
from src.training.verification import inspect_checkpoint
from tests.checkpoints.test_safe_file import printed_lines

CPU = torch.device("cpu")
SMALL = {"hidden_dim": 16, "embedding_dim": 16, "temporal": "tcn"}
CONFIG = parse_config({"data": {"input_size": 48}, "model": SMALL}, "test")


def content(**changes) -> dict:
    torch.manual_seed(0)
    return {
        "epoch": 3,
        "step": 30,
        "sampler": {"batch": 0, "tally": {}},
        "model_state_dict": SyncModel(ModelSpec.of(CONFIG)).state_dict(),
        "config": CONFIG.model_dump(),
        "calibration": UNFITTED,
        "random_states": {"torch": torch.get_rng_state()},
        "val_loss": 0.5,
    } | changes


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "model.pth"
    save_checkpoint(path, content())
    return path


def refused(path: Path, *words: str, error=CheckpointError, load=load_checkpoint) -> None:
    """It is refused with a one-line message that names the file, with PyTorch and without."""
    for load_file in (load, load_onnx) if load in (load_checkpoint, trained) else (load,):
        with pytest.raises(LipSyncError) as caught:
            load_file(path)
        assert isinstance(caught.value, error)
        text = str(caught.value)
        assert str(path) in text and len(text.splitlines()) == 1
        for word in words:
            assert word in text


def trained(path: Path):
    return load_trained(path, CPU)


# --- valid files


def test_round_trip(saved):
    loaded = load_checkpoint(saved)
    original = content()
    assert loaded["epoch"] == 3 and loaded["config"] == original["config"]
    assert loaded["calibration"] == original["calibration"]
    for name, tensor in original["model_state_dict"].items():
        assert torch.equal(loaded["model_state_dict"][name], tensor)


def test_plain_torch_reads_it_with_weights_only(saved):
    loaded = torch.load(saved, weights_only=True)
    assert loaded["format"] == "lipsync-checkpoint" and loaded["versions"]["torch"]


def test_the_loaded_model_gives_the_same_embeddings(saved):
    loaded = load_trained(saved, CPU)
    assert loaded.config == CONFIG and not loaded.model.training
    torch.manual_seed(0)
    model = SyncModel(ModelSpec.of(CONFIG)).eval()
    views, bands = torch.randn(1, 7, *model.spec.region_shape), torch.randn(1, 28, 40)
    with torch.no_grad():
        for actual, expected in zip(loaded.model(views, bands), model(views, bands), strict=True):
            assert torch.allclose(actual, expected, atol=1e-5)


def test_stripping_keeps_the_weights(tmp_path):
    whole = content(optimizer_state_dict={"state": {}}, clips="abc", zero_ms=1.5)
    stripped = strip_training_state(whole, tmp_path / "whole.pth")
    assert set(whole) - set(stripped) == {"optimizer_state_dict", "random_states"}
    save_checkpoint(tmp_path / "stripped.pth", stripped)
    loaded = load_trained(tmp_path / "stripped.pth", CPU)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, whole["model_state_dict"][name])


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_weights_of_another_precision_are_loaded(tmp_path, kind):
    whole = content()
    weights = {
        name: value.to(kind) if value.is_floating_point() else value
        for name, value in whole["model_state_dict"].items()
    }
    changed = {"model_state_dict": weights, "calibration": UNFITTED}
    save_checkpoint(tmp_path / "other.pth", whole | changed)
    model = load_trained(tmp_path / "other.pth", CPU).model
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    with torch.no_grad():
        model(*example_input(model.spec, 9))
    assert not inspect_checkpoint(tmp_path / "other.pth")[0].problems


def test_stripping_removes_private_folders(tmp_path):
    config = content()["config"]
    config["data"] |= {"video_dir": "/home/li/clips", "processed_dir": "D:/work"}
    config["paths"]["checkpoint_dir"] = "C:\\Users\\li\\checkpoints"
    config["training"]["init_from"] = "C:\\Users\\li\\models\\first.pth"
    stripped = strip_training_state(content(config=config), "a.pth")["config"]
    assert stripped["training"]["init_from"] == "first.pth"
    input_size = {"input_size": stripped["data"]["input_size"]}
    assert stripped["data"] == Config().data.model_dump() | input_size
    assert stripped["paths"] == Config().paths.model_dump()
    del config["cleaning"]
    assert strip_training_state(content(config=config), "a.pth")["config"]["cleaning"]


def test_settings_of_a_huge_network_take_no_memory(tmp_path):
    """A small file whose settings claim a gigabyte of weights, read in a process of its own."""
    sizes = {"hidden_dim": 4096, "embedding_dim": 2048, "num_layers": 8, "temporal": "tcn"}
    huge = parse_config({"model": sizes}, "test")
    save_checkpoint(tmp_path / "huge.pth", content(config=huge.model_dump()))
    refused(tmp_path / "huge.pth", "do not fit the network", load=trained)
    resource = pytest.importorskip("resource", reason="only Unix measures memory so")
    code = (
        "import resource, sys, torch; from src.checkpoints.checkpoint import load_trained\n"
        "from src.core.errors import CheckpointError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: load_trained(sys.argv[1], torch.device('cpu'))\n"
        "except CheckpointError: print(peak() - before)\n"
    )
    (growth,) = printed_lines(code, tmp_path / "huge.pth")
    assert resource and int(growth) < 300_000, "kilobytes"


# --- resolving


@pytest.fixture
def pretrained(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "box" / "best_model.pth"
    path.parent.mkdir()
    save_checkpoint(path, content())
    monkeypatch.setattr(location, "PRETRAINED", path)
    monkeypatch.chdir(tmp_path)
    return path


def test_without_an_own_model_the_pretrained_one_is_used(pretrained, capsys):
    own_path = pretrained.parents[1] / "checkpoints/best_model.pth"
    with console_logging():
        assert resolve_checkpoint(None, "checkpoints") == pretrained
        output = capsys.readouterr()
        assert output.out == "" and len(output.err.splitlines()) == 1
        assert "does not exist: using the pretrained model box" in output.err
        own_path.parent.mkdir()
        save_checkpoint(own_path, content())
        assert resolve_checkpoint(None, "checkpoints").resolve() == own_path
    assert capsys.readouterr().err == ""


def test_any_other_missing_checkpoint_stays_missing(pretrained, capsys):
    """A file that is given explicitly is never replaced."""
    with console_logging():
        for name in (
            "checkpoints/epoch_3.pth", "checkpoints/best_model.pth", "best_model.pth",
            pretrained.parents[1] / "checkpoints/best_model.pth",
        ):  # fmt: skip
            refused(
                name, "without --checkpoint the pretrained model is used", error=MissingFileError,
                load=lambda path: resolve_checkpoint(path, "checkpoints"),
            )  # fmt: skip
        pretrained.unlink()
        refused(resolve_checkpoint(None, "checkpoints"), "src/train.py", error=MissingFileError)
    assert capsys.readouterr().err == ""


# --- invalid files


def test_a_missing_file_names_the_command_that_makes_one(tmp_path):
    refused(tmp_path / "none.pth", "src/train.py", error=MissingFileError)
    refused(tmp_path, error=MissingFileError)  # a folder


@pytest.mark.parametrize(
    "data",
    [b"", b"not a checkpoint\n", b"{}", os.urandom(5000), b"PK\x03\x04", b"\x80\x02", b"\x80\x04N.",
     pickle.dumps(list(range(1000))), pickle.dumps({"model": "x"}, 2)],
    ids=["empty", "text", "json", "noise", "zip head", "pickle head", "None", "list", "dict"],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "other.pth"
    path.write_bytes(data)
    refused(path)


def test_any_damage_is_a_readable_error(saved):
    """A changed byte, at many positions: the file is read, or refused in one line."""
    data = saved.read_bytes()
    rng = torch.Generator().manual_seed(0)
    with zipfile.ZipFile(saved) as archive:
        pickled = next(i for i in archive.infolist() if i.filename.endswith("data.pkl"))
    n_refused = 0
    positions = torch.randint(pickled.file_size, (150,), generator=rng) + pickled.header_offset
    for position in [*positions.tolist(), *torch.randint(len(data), (50,), generator=rng).tolist()]:
        damaged = bytearray(data)
        damaged[position] ^= int(torch.randint(1, 256, (1,), generator=rng))
        saved.write_bytes(bytes(damaged))
        try:
            load_trained(saved, CPU)
        except LipSyncError as error:
            n_refused += 1
            assert str(saved) in str(error) and len(str(error).splitlines()) == 1, position
    assert n_refused > 100, "of 200; what is not noticed changes a weight or a note"


@pytest.mark.parametrize(
    "foreign", [{"state_dict": {}}, {}, [1, 2], torch.zeros(3), "text"],
    ids=["another project", "nothing", "list", "tensor", "text"],
)  # fmt: skip
def test_checkpoints_of_other_projects_are_refused(tmp_path, foreign):
    path = tmp_path / "foreign.pth"
    torch.save(foreign, path)
    refused(path, "not a checkpoint of this project")


def test_bare_weights_are_recognised(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(SyncModel(ModelSpec.of(CONFIG)).state_dict(), path)
    refused(path, "bare weights")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_a_wrapped_network_are_loaded(tmp_path, prefix):
    """As ``DataParallel`` and ``torch.compile`` save them; bare, and in a checkpoint."""
    weights = content()["model_state_dict"]
    wrapped = {prefix + name: tensor for name, tensor in weights.items()}
    bare, whole = tmp_path / "bare.pth", tmp_path / "whole.pth"
    torch.save(wrapped, bare)
    save_checkpoint(whole, content(model_state_dict=wrapped))
    default_block = CONFIG.model_copy(
        update={"model": CONFIG.model.model_copy(update={"temporal": "none"})}
    )
    loaded_files = (
        load_trained(bare, CPU, CONFIG),
        load_trained(bare, CPU, default_block),  # the temporal block is recognised
        load_trained(whole, CPU),
    )
    for loaded in loaded_files:
        assert loaded.config.model.temporal == "tcn"
        for name, tensor in loaded.model.state_dict().items():
            assert torch.equal(tensor, weights[name]), name
    refused(bare, "bare weights")
    source = load_checkpoint_or_weights(bare)
    assert source.is_bare and source.payload.keys() == weights.keys()


def test_the_members_views_and_block_of_bare_weights_are_recognised(tmp_path):
    """Of the shipped file, whatever the settings say."""
    shipped, path = load_trained(PRETRAINED, CPU), tmp_path / "bare.pth"
    torch.save(shipped.model.state_dict(), path)
    loaded = load_trained(path, CPU, parse_config({}, "test"))
    # Dropout leaves no trace in weights, and has no effect on scores.
    assert replace(loaded.model.spec, dropout=0.0) == replace(shipped.model.spec, dropout=0.0)


def test_weights_of_another_network_are_told_apart(tmp_path):
    path = tmp_path / "resnet.pth"
    torch.save({"module.conv1.weight": torch.zeros(3), "module.fc.bias": torch.zeros(3)}, path)
    for load in (load_checkpoint, lambda path: load_trained(path, CPU, CONFIG)):
        refused(path, "weights of another network, such as module.conv1.weight", load=load)


@pytest.mark.parametrize("version", [1, 99, None, "2"])
def test_another_format_version_is_refused(tmp_path, version):
    path = tmp_path / "other.pth"
    torch.save(content(format="lipsync-checkpoint", format_version=version), path)
    refused(path, f"version {version}", "reads version 2")


class _Hiding(OrderedDict):
    """Pickled as an OrderedDict with attributes, which hide its methods."""

    def __reduce__(self):
        hidden = dict.fromkeys(("get", "keys", "items", "values"), 1)
        return OrderedDict, (), hidden, None, iter(dict.items(self))


@pytest.mark.parametrize(
    "change",
    [{"format": torch.zeros(3)}, {"format": torch.zeros(0)}, {"format_version": torch.ones(2)},
     {"calibration": {"score": torch.zeros(3), "peak": torch.zeros(())}},
     {"config": torch.zeros(2)}, {"model_state_dict": {"video": 3, 4: torch.zeros(1)}}],
    ids=str,
)  # fmt: skip
def test_tensors_in_the_place_of_other_values_are_refused(tmp_path, change):
    path = tmp_path / "odd.pth"
    torch.save({"format": "lipsync-checkpoint", "format_version": 2, "versions": {}} | content()
               | change, path)  # fmt: skip
    refused(path, load=trained)


def test_attributes_of_a_dict_in_a_file_do_not_hide_its_methods(tmp_path):
    path = tmp_path / "hiding.pth"
    header = {"format": "lipsync-checkpoint", "format_version": 2, "versions": {}}
    torch.save(_Hiding(header | content()), path)
    assert load_onnx(path).config.model.hidden_dim == SMALL["hidden_dim"]
    with pytest.raises(CheckpointError, match="damaged"):  # or read as well
        trained(path)


def test_values_that_contain_themselves_are_named_shortly(tmp_path):
    """A small file may stand for 2 ** 40 lists."""
    endless: list = []
    for _ in range(40):
        endless = [endless, endless]
    cyclic: dict = {}
    cyclic["hidden_dim"] = [cyclic]
    path = tmp_path / "endless.pth"
    for changes in (
        {"format_version": endless}, {"format_version": "9" * 10**6}, {"config": {"model": cyclic}},
        {"config": {"data": {"input_size": endless}}}, {"config": {"data": endless}},
        {"config": {"x" * 10**6: 1}},
    ):  # fmt: skip
        torch.save(
            {"format": "lipsync-checkpoint", "format_version": 2} | content() | changes, path
        )
        with pytest.raises(CheckpointError) as caught:
            trained(path)
        assert len(str(caught.value)) < 6000


@pytest.mark.parametrize(
    "missing", ["epoch", "step", "sampler", "model_state_dict", "config", "calibration"]
)
def test_an_incomplete_checkpoint_is_refused(tmp_path, missing):
    path = tmp_path / "part.pth"
    save_checkpoint(path, {key: value for key, value in content().items() if key != missing})
    refused(path, missing)


@pytest.mark.parametrize("changes", [{"hidden_dim": 32}, {"num_layers": 3}, {"embedding_dim": 8}])
def test_weights_of_another_network_are_refused(tmp_path, changes):
    path = tmp_path / "shape.pth"
    other = parse_config(
        {"data": {"input_size": 48}, "model": CONFIG.model.model_dump() | changes}, "test"
    )
    save_checkpoint(path, content(config=other.model_dump()))
    refused(path, "do not fit the network", load=trained)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"model": {"no_such_key": 1}}},
        {"config": {"model": {"hidden_dim": -1}}},
        {"config": [1]},
        {"config": None},
        {"model_state_dict": [1]},
        {"model_state_dict": {"a": 1}},
        {"model_state_dict": {1: torch.zeros(1)}},
        {"model_state_dict": {None: torch.zeros(1)}},
        {"config": {1: {2: 3}, (1, 2): None}},
        {"config": {"model": {"hidden_dim": 10**30}, "training": None}},
    ],
)
def test_invalid_values_in_a_checkpoint_are_refused(tmp_path, changes):
    path = tmp_path / "nonsense.pth"
    save_checkpoint(path, content(**changes))
    refused(path, load=trained)


NUMBERS = {"mean": [0.0] * 3, "scale": [1.0] * 3, "weights": [0.0, 10.0, 1.0], "bias": -1.0}


@pytest.mark.parametrize("fit", [
    NUMBERS | {"bias": float("nan")}, NUMBERS | {"bias": float("inf")}, NUMBERS | {"bias": None},
    NUMBERS | {"bias": "1"}, NUMBERS | {"bias": True}, NUMBERS | {"weights": [0.0] * 2},
    NUMBERS | {"weights": [0.0, float("-inf"), 0.0]}, NUMBERS | {"weights": 3.0},
    NUMBERS | {"weights": [1e300] * 3}, NUMBERS | {"mean": [[0.0]] * 3}, NUMBERS | {"mean": "abc"},
    NUMBERS | {"mean": {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}}, NUMBERS | {"scale": [1.0, 0.0, 1.0]},
    NUMBERS | {"scale": [-1.0] * 3}, {"mean": [0.0] * 3}, {}, [], None, "fit", 3.0,
])  # fmt: skip
@pytest.mark.parametrize("name", ["score", "peak"])
def test_a_malformed_calibration_is_refused(tmp_path, fit, name):
    path = tmp_path / "calibration.pth"
    save_checkpoint(path, content(calibration=UNFITTED | {name: fit}))
    refused(path, f"the calibration of {name} is invalid", load=trained)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, value):
    path, weights = tmp_path / "diverged.pth", content()["model_state_dict"]
    name = next(name for name in weights if name.endswith("weight"))
    weights[name] = weights[name].clone()
    weights[name].view(-1)[-1] = value
    save_checkpoint(path, content(model_state_dict=weights))
    refused(path, f"the weights {name} are not finite numbers", load=trained)


def test_finite_weights_that_give_no_numbers_are_noticed(tmp_path):
    path, weights = tmp_path / "huge.pth", content()["model_state_dict"]
    variances = [name for name in weights if name.endswith("running_var")]
    negative = {name: -torch.ones_like(weights[name]) for name in variances}
    save_checkpoint(path, content(model_state_dict=weights | negative))
    model = trained(path).model
    crops = np.random.default_rng(0).integers(0, 255, (9, 48, 48), np.uint8)
    with pytest.raises(CheckpointError, match="values that are not numbers"):
        embed_video(model, crops)
    with pytest.raises(CheckpointError, match="values that are not numbers"):
        embed_audio(model, np.ones((36, 13), np.float32), np.ones(9, bool))


# --- resuming and old files


def test_the_newest_checkpoint_was_written_last(tmp_path):
    with pytest.raises(MissingFileError, match="no checkpoint to resume from"):
        newest_checkpoint(tmp_path)
    names = ["checkpoint_epoch_9.pth", "last.pth", "checkpoint_epoch_2_step_30.pth"]
    for second, name in enumerate([*names, "best_model.pth", "final_model.pth", "x.pth"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 + second, 1000 + second))
    assert newest_checkpoint(tmp_path).name == names[-1]


def test_files_from_before_a_setting_have_the_network_of_that_time():
    old = stored_config({"config": {"model": {"hidden_dim": 64}}}, "old.pth").model
    assert (old.view, old.temporal) == ("lower_face", "tcn")
    settings = {"view": "mouth", "temporal": "gru"}
    new = stored_config({"config": {"model": settings}}, "new.pth").model
    assert (new.view, new.temporal) == ("mouth", "gru")
