"""Files a user may name as a checkpoint: the right one, and all the others."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from src.checkpoints import checkpoint
from src.checkpoints.checkpoint import (
    for_inference,
    load_checkpoint,
    load_trained,
    newest_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
)
from src.core.config import Config, parse_config
from src.core.errors import CheckpointError, LipSyncError, MissingFileError
from src.models.spec import ModelSize
from src.models.sync_model import SyncModel, made_input
from src.scoring.calibration import UNFITTED
from src.training.verification import inspect
from tests.checkpoints.test_file_format import said_by

CPU = torch.device("cpu")
CONFIG = parse_config(
    {"data": {"input_size": 48}, "model": {"hidden_dim": 16, "embedding_dim": 16}}, "test"
)


def content(**changes) -> dict:
    torch.manual_seed(0)
    return {
        "epoch": 3,
        "step": 30,
        "sampler": {"batch": 0, "tally": {}},
        "model_state_dict": SyncModel(ModelSize.of(CONFIG)).state_dict(),
        "config": CONFIG.model_dump(),
        "calibration": {"score": {"mean": [0.0, 0.0, 0.0]}, "peak": {"mean": [1.0, 0.0, 0.0]}},
        "random_states": {"torch": torch.get_rng_state()},
        "val_loss": 0.5,
    } | changes


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "model.pth"
    save_checkpoint(path, content())
    return path


def refused(path: Path, *words: str, error=CheckpointError, load=load_checkpoint) -> None:
    """It is refused with one line that names the file."""
    with pytest.raises(LipSyncError) as caught:
        load(path)
    assert isinstance(caught.value, error)
    text = str(caught.value)
    assert str(path) in text and len(text.splitlines()) == 1
    for word in words:
        assert word in text


def trained(path: Path):
    return load_trained(path, CPU)


# --- the right one


def test_round_trip(saved):
    found = load_checkpoint(saved)
    given = content()
    assert found["epoch"] == 3 and found["config"] == given["config"]
    assert found["calibration"] == given["calibration"]
    for name, tensor in given["model_state_dict"].items():
        assert torch.equal(found["model_state_dict"][name], tensor)


def test_plain_torch_reads_it_with_weights_only(saved):
    found = torch.load(saved, weights_only=True)
    assert found["format"] == "lipsync-checkpoint" and found["versions"]["torch"]


def test_the_trained_model_judges_as_the_one_saved(saved):
    found = load_trained(saved, CPU)
    assert found.config == CONFIG and not found.model.training
    torch.manual_seed(0)
    model = SyncModel(ModelSize.of(CONFIG)).eval()
    views, bands = torch.randn(1, 7, *model.size.view), torch.randn(1, 28, 40)
    with torch.no_grad():
        for one, other in zip(found.model(views, bands), model(views, bands), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_what_is_left_for_inference_judges_the_same(tmp_path):
    whole = content(optimizer_state_dict={"state": {}}, clips="abc", zero_ms=1.5)
    left = for_inference(whole, tmp_path / "whole.pth")
    assert set(whole) - set(left) == {"optimizer_state_dict", "random_states"}
    save_checkpoint(tmp_path / "left.pth", left)
    found = load_trained(tmp_path / "left.pth", CPU)
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, whole["model_state_dict"][name])


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_weights_of_another_precision_are_used(tmp_path, kind):
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
        model(*made_input(model.size, 9))
    assert not inspect(tmp_path / "other.pth")[0].problems


def test_what_is_passed_on_names_no_folder_of_the_machine(tmp_path):
    config = content()["config"]
    config["data"] |= {"video_dir": "/home/li/clips", "processed_dir": "D:/work"}
    config["paths"]["checkpoint_dir"] = "C:\\Users\\li\\checkpoints"
    config["training"]["init_from"] = "C:\\Users\\li\\models\\first.pth"
    left = for_inference(content(config=config), "a.pth")["config"]
    assert left["training"]["init_from"] == "first.pth"
    assert left["data"] == Config().data.model_dump() | {"input_size": left["data"]["input_size"]}
    assert left["paths"] == Config().paths.model_dump()
    del config["cleaning"]
    assert for_inference(content(config=config), "a.pth")["config"]["cleaning"]


def test_settings_of_a_huge_network_take_no_memory(tmp_path):
    """A small file whose settings claim a gigabyte of weights, read in a process of its own."""
    huge = parse_config(
        {"model": {"hidden_dim": 4096, "embedding_dim": 2048, "num_layers": 8}}, "test"
    )
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
    (more,) = said_by(code, tmp_path / "huge.pth")
    assert resource and int(more) < 300_000, "kilobytes"


# --- which one is used


@pytest.fixture
def pretrained(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "box" / "best_model.pth"
    path.parent.mkdir()
    save_checkpoint(path, content())
    monkeypatch.setattr(checkpoint, "PRETRAINED", path)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize("asked", [None, "checkpoints/best_model.pth", "absolute"])
def test_without_a_model_of_ones_own_the_pretrained_one_is_used(pretrained, capsys, asked):
    own = pretrained.parents[1] / "checkpoints/best_model.pth"
    asked = own if asked == "absolute" else asked
    assert resolve_checkpoint(asked, "checkpoints") == pretrained
    said = capsys.readouterr()
    assert said.out == "" and "pretrained model box" in said.err and len(said.err.splitlines()) == 1
    own.parent.mkdir()
    save_checkpoint(own, content())
    assert resolve_checkpoint(asked, "checkpoints").resolve() == own
    assert capsys.readouterr().err == ""


def test_any_other_missing_checkpoint_stays_missing(pretrained, capsys):
    """Who names a file wants that file."""
    for name in ("checkpoints/epoch_3.pth", "best_model.pth", "other/best_model.pth"):
        refused(resolve_checkpoint(name, "checkpoints"), error=MissingFileError)
    pretrained.unlink()
    refused(resolve_checkpoint(None, "checkpoints"), "src/train.py", error=MissingFileError)
    assert capsys.readouterr().err == ""


# --- the others


def test_a_missing_file_says_what_makes_one(tmp_path):
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
    """Single bytes changed at many places: it is read as it was, or refused in one line."""
    data = saved.read_bytes()
    dice = torch.Generator().manual_seed(0)
    with zipfile.ZipFile(saved) as archive:
        pickled = next(i for i in archive.infolist() if i.filename.endswith("data.pkl"))
    places = torch.randint(pickled.file_size, (150,), generator=dice) + pickled.header_offset
    for place in [*places.tolist(), *torch.randint(len(data), (50,), generator=dice).tolist()]:
        damaged = bytearray(data)
        damaged[place] ^= int(torch.randint(1, 256, (1,), generator=dice))
        saved.write_bytes(bytes(damaged))
        try:
            load_trained(saved, CPU)
        except LipSyncError as error:
            assert str(saved) in str(error) and len(str(error).splitlines()) == 1, place


@pytest.mark.parametrize(
    "foreign", [{"state_dict": {}}, {}, [1, 2], torch.zeros(3), "text"],
    ids=["another project", "nothing", "list", "tensor", "text"],
)  # fmt: skip
def test_checkpoints_of_others_are_refused(tmp_path, foreign):
    path = tmp_path / "foreign.pth"
    torch.save(foreign, path)
    refused(path, "not a checkpoint of this project")


def test_bare_weights_are_told_from_other_files(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(SyncModel(ModelSize.of(CONFIG)).state_dict(), path)
    refused(path, "bare weights")


@pytest.mark.parametrize("version", [1, 99, None, "2"])
def test_another_format_version_is_refused(tmp_path, version):
    path = tmp_path / "other.pth"
    torch.save(content(format="lipsync-checkpoint", format_version=version), path)
    refused(path, f"version {version}", "reads version 2")


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
    ],
)
def test_nonsense_in_a_checkpoint_is_refused(tmp_path, changes):
    path = tmp_path / "nonsense.pth"
    save_checkpoint(path, content(**changes))
    refused(path, load=trained)


# --- which one to go on from


def test_the_newest_is_what_a_run_wrote_last(tmp_path):
    with pytest.raises(MissingFileError, match="no checkpoint to go on from"):
        newest_checkpoint(tmp_path)
    names = ["checkpoint_epoch_9.pth", "last.pth", "checkpoint_epoch_2_step_30.pth"]
    for second, name in enumerate([*names, "best_model.pth", "final_model.pth", "x.pth"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 + second, 1000 + second))
    assert newest_checkpoint(tmp_path).name == names[-1]


def test_a_file_of_before_the_views_looks_at_the_lower_face():
    assert (
        checkpoint.config_of({"config": {"model": {"hidden_dim": 64}}}, "old.pth").model.view
        == "lower_face"
    )
    assert (
        checkpoint.config_of({"config": {"model": {"view": "mouth"}}}, "new.pth").model.view
        == "mouth"
    )
