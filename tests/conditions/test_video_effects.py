"""Effects on video, on made frames: what changes, and that the timing does not."""

import cv2
import numpy as np
import pytest

from src.conditions import video_effects
from src.conditions.catalog import CONDITIONS
from src.conditions.video_effects import MAX_FACE_WIDTH, FaceBox, TimedFrame

FACE = FaceBox(0.5, 0.5, 0.4)
EFFECTS = sorted({effect.__name__ for c in CONDITIONS.values() for effect in c.video})
KEEP_EVERY_FRAME = [name for name in EFFECTS if name != "frame_rate"]
FLASH = 20  # the frame that is much brighter than the others


def video(n_frames: int = 40, size: tuple[int, int] = (120, 160)) -> list[TimedFrame]:
    """A textured image, with one bright frame."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(60, 120, (12, 16, 3), np.uint8), size[::-1])
    return [
        TimedFrame(index / 25, np.full_like(texture, 235) if index == FLASH else texture)
        for index in range(n_frames)
    ]


def apply(name: str, frames=None, seed: int = 0) -> list[TimedFrame]:
    effect = getattr(video_effects, name)
    return list(effect(iter(frames or video()), np.random.default_rng(seed), FACE))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", EFFECTS)
def test_frames_change_but_not_their_times(name, seed):
    before, after = video(), apply(name, seed=seed)
    times = [frame.time_s for frame in before]
    assert [frame.time_s for frame in after if frame.time_s not in times] == []
    assert sorted(frame.time_s for frame in after) == [frame.time_s for frame in after]
    for frame in after:
        assert frame.bgr.dtype == np.uint8 and frame.bgr.ndim == 3
        assert not any(side % 2 for side in frame.bgr.shape[:2])  # 4:2:0 needs even sides
    if name in KEEP_EVERY_FRAME:
        assert len(after) == len(before)
        brightness = [frame.bgr.mean() for frame in after]
        assert int(np.argmax(brightness)) == FLASH  # nothing comes earlier or later
        changed = after[5].bgr.shape != before[5].bgr.shape or (after[5].bgr != before[5].bgr).any()
        assert changed


@pytest.mark.parametrize("name", EFFECTS)
def test_the_same_seed_gives_the_same_frames(name):
    first, repeated, other = apply(name, seed=3), apply(name, seed=3), apply(name, seed=4)
    assert all((a.bgr == b.bgr).all() for a, b in zip(first, repeated, strict=True))
    assert len(first) != len(other) or any(
        a.bgr.shape != b.bgr.shape or (a.bgr != b.bgr).any()
        for a, b in zip(first, other, strict=True)
    )


@pytest.mark.parametrize("seed", range(6))
def test_small_faces_are_30_to_70_pixels_wide(seed):
    frames = video(2, (480, 640))  # a face of 256 pixels
    image = apply("small", frames, seed)[0].bgr
    rng = np.random.default_rng(seed)
    width = rng.uniform(30, 70)
    if rng.random() < 0.5:
        assert image.shape == (480, 640, 3)  # scaled up again: no finer detail than before
        finest = np.abs(np.diff(image.astype(float), axis=1)).max()
        assert finest < np.abs(np.diff(frames[0].bgr.astype(float), axis=1)).max() + 2
    else:
        assert image.shape[1] * FACE.width == pytest.approx(width, abs=1.5)


def test_wide_faces_are_scaled_down_and_narrow_ones_stay():
    wide, narrow = video(1, (600, 800)), video(1, (120, 160))
    assert apply("cap_face_width", wide)[0].bgr.shape[1] * FACE.width == MAX_FACE_WIDTH
    assert apply("cap_face_width", narrow)[0].bgr is narrow[0].bgr


@pytest.mark.parametrize("seed", range(4))
def test_frame_rates_are_those_of_webcams(seed):
    frames = apply("frame_rate", video(500), seed)
    fps = len(frames) / 20
    assert 15 * 0.9 < fps < 24.5
    intervals = np.diff([frame.time_s for frame in frames])
    assert intervals.min() >= 0.0399 and intervals.max() < 0.25


def test_exposure_hunts_as_a_sine():
    frames = [TimedFrame(i / 25, np.full((32, 32, 3), 90, np.uint8)) for i in range(250)]
    green = np.array([frame.bgr[..., 1].mean() for frame in apply("hunting_exposure", frames)])
    rng = np.random.default_rng(0)
    rate_hz = rng.uniform(0.2, 1.5)
    spectrum = np.abs(np.fft.rfft(green - green.mean()))
    assert int(spectrum.argmax()) == pytest.approx(rate_hz * 10, abs=1)


def test_backlight_darkens_the_face_and_brightens_the_rest():
    frames = [TimedFrame(0.0, np.full((240, 320, 3), 110, np.uint8))]
    image = apply("backlight", frames)[0].bgr.astype(float)
    assert image[110:130, 150:170].mean() < image[:20, :20].mean() - 30


def test_memory_does_not_grow_with_the_video():
    """Frames are taken one at a time."""
    taken = []

    def source():
        for frame in video(30):
            taken.append(frame)
            yield frame

    for name in EFFECTS:
        taken.clear()
        next(getattr(video_effects, name)(source(), np.random.default_rng(0), FACE))
        assert len(taken) == 1, name
