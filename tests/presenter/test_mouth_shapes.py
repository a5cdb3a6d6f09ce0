"""Shapes of the mouth: their space, their file, and when they are used."""

import json

import numpy as np
import pytest
import torch

from src.core.errors import LipSyncError, PresenterError
from src.presenter.mouth_shapes import (
    FaceSpace,
    MouthShapes,
    ShapeNetwork,
    ShapesHeader,
    find_shapes,
    load_shapes,
    with_context,
)
from tests.support.made_presenters import DIM, SHA256, footage_clip, presenter_of

REGION = (4, 6)
K = 3


def make_shapes(clips=("a",), model=SHA256) -> MouthShapes:
    rng = np.random.default_rng(0)
    n_pixels = REGION[0] * REGION[1]
    axes = np.linalg.qr(rng.normal(0, 1, (n_pixels, K)))[0].T.astype(np.float32)
    space = FaceSpace(
        draw=axes, mean=rng.normal(0, 1, n_pixels).astype(np.float32), project=axes.T.copy(),
        levels=np.float32([[0.5, 0.05]] * len(clips)), pose_mean=np.full(12, 48, np.float32),
        pose_scale=np.ones(12, np.float32),
    )  # fmt: skip
    header = ShapesHeader(
        model=model, clips=list(clips), region=REGION, audio_dim=DIM, pose_dim=12, components=K,
        steps=1,
    )  # fmt: skip
    torch.manual_seed(0)
    return MouthShapes(header, space, ShapeNetwork(DIM, 12, len(clips), K).eval())


def test_what_is_drawn_is_projected_to_the_same_components():
    space = make_shapes().space
    components = np.float32([1.0, -2.0, 0.5])
    region = space.draw_region(components, 0, REGION)
    assert region.shape == REGION and region.dtype == np.uint8
    # Grey values are whole: half a level is 0.04 deviations.
    assert np.abs(space.project_region(region, 0) - components).max() < 0.15


def test_the_context_is_nine_frames():
    audio = np.arange(20, dtype=np.float32)[:, None]
    context = with_context(audio)
    assert context.shape == (20, 9, 1)
    assert context[10, :, 0].tolist() == list(range(6, 15))
    assert context[0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert context[19, :, 0].tolist() == [15, 16, 17, 18, 19, 19, 19, 19, 19]


def test_what_is_saved_is_read(tmp_path):
    shapes = make_shapes()
    shapes.save(tmp_path / "shapes.npz")
    again = load_shapes(tmp_path / "shapes.npz")
    assert again.header == shapes.header
    rng = np.random.default_rng(1)
    asked = rng.normal(0, 1, (7, DIM)).astype("f4"), rng.normal(48, 1, (7, 12)), np.zeros(7, int)
    assert np.array_equal(again.shape(*asked), shapes.shape(*asked))
    assert shapes.shape(*asked).shape == (7, K)


@pytest.mark.parametrize("damage", [
    "missing part", "empty", "text", "cut", "not finite", "weights not finite", "other shape",
    "other type", "header", "huge header",
])  # fmt: skip
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "shapes.npz"
    make_shapes().save(path)
    with np.load(path) as arrays:
        content = dict(arrays)
    if damage == "missing part":
        del content["draw"]
    elif damage == "not finite":
        content["levels"][0, 0] = np.nan
    elif damage == "weights not finite":
        content["network.head.bias"][0] = np.inf
    elif damage == "other shape":
        content["mean"] = content["mean"][:-1]
    elif damage == "other type":
        content["draw"] = content["draw"].astype(np.float64)
    elif damage == "header":
        content["header"] = np.frombuffer(b"[1, 2", np.uint8)
    elif damage == "huge header":
        header = json.loads(content["header"].tobytes()) | {"audio_dim": 10**30}
        content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    if damage in ("empty", "text", "cut"):
        data = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"no archive", "cut": data[:-300]}[damage])
    else:
        np.savez(path, **content)
    with pytest.raises(PresenterError) as error:
        load_shapes(path)
    message = str(error.value)
    assert "damaged" in message and "shapes.npz" in message and "\n" not in message


class _Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_nothing_in_the_file_can_run(tmp_path):
    path, marker = tmp_path / "shapes.npz", tmp_path / "ran"
    np.savez(path, header=np.array([_Evil(marker)], object))
    with pytest.raises(LipSyncError):
        load_shapes(path)
    assert not marker.exists()


def test_shapes_are_used_for_what_they_were_trained_on(tmp_path):
    clip = footage_clip()
    presenter = presenter_of(clip, folder=tmp_path)
    assert find_shapes(presenter) == (None, None)
    make_shapes(clips=(clip.key,)).save(tmp_path / "shapes.npz")
    shapes, why_not = find_shapes(presenter)
    assert shapes.header.clips == [clip.key] and why_not is None
    more = presenter_of(clip, footage_clip(name="new.mp4"), folder=tmp_path)
    shapes, why_not = find_shapes(more)
    assert shapes is None and "added" in why_not
    make_shapes(clips=(clip.key,), model="1" * 64).save(tmp_path / "shapes.npz")
    shapes, why_not = find_shapes(presenter)
    assert shapes is None and "another model" in why_not
