"""The output file: base frames in the order of the plan, the mouth of each time, the new audio."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from src.media.frame import ColourTags
from src.media.reader import read_audio, source_frames
from src.media.writer import open_video_writer
from src.presenter.base import BasePlan, plan_base
from src.presenter.compose import Mouth
from src.presenter.render import compose_frame, render
from tests.support.made_presenters import (
    base_video,
    frame_of,
    jaw_points,
    lip_points,
    make_planes,
    psnr,
    similarity_matrix,
)
from tests.support.media_files import BURSTS, burst_delays, write_audio

HEIGHT, WIDTH, N_FRAMES = 120, 144, 40
TO_FRAME = similarity_matrix(1.0, 0, 24, 12)


@dataclass
class Mouths:
    """A mouth of one grey value, and a record of the times it was asked for."""

    value: int = 90
    times: list[float] = field(default_factory=list)

    def at(self, time_s: float) -> Mouth:
        self.times.append(time_s)
        crop = np.full((96, 64), 128, np.uint8)
        crop[:64] = self.value
        return Mouth(crop, jaw_points(), lip_points())


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return write_audio(tmp_path_factory.mktemp("audio") / "speech.wav")


@pytest.fixture(scope="module")
def frames() -> list[list[np.ndarray]]:
    """Planes of each frame of the base."""
    return [make_planes(HEIGHT, WIDTH, 10 * k, 3) for k in range(N_FRAMES)]


@pytest.fixture(scope="module")
def base(tmp_path_factory, audio, frames):
    """25 fps; frames 10 … 14 do not show the face."""
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    with open_video_writer(path, path, audio) as writer:
        writer.colour = ColourTags(5, 5, 6)
        for number, planes in enumerate(frames):
            writer.add_planes(number / 25, planes, 25.0)
        writer.finish(1 / 25)
    has_face = np.ones(N_FRAMES, bool)
    has_face[10:15] = False
    times = np.array([time_s for time_s, _, _ in source_frames(path)])
    return base_video(times, path, TO_FRAME, has_face=has_face)


def test_the_output_is_the_plan_with_the_new_mouth_and_audio(tmp_path, base, frames, audio):
    plan, mouths, reports = plan_base(base, 3.0), Mouths(), []

    def progress(items, stage, total):
        reports.append((stage, total))
        yield from items

    output = tmp_path / "out.mp4"
    render(base, plan, mouths, audio, output, progress)
    shown = list(source_frames(output))
    assert len(shown) == len(plan.numbers) == 75 and plan.numbers.max() < N_FRAMES
    assert np.allclose([time_s for time_s, _, _ in shown], plan.times, atol=1e-4)
    for (_, frame, _), number in zip(shown, plan.numbers, strict=True):
        luma, original = frame.planes_420()[0], frames[number][0]
        assert psnr(luma[:, :36], original[:, :36]) > 34, "beside the mouth: the base"
        roughness, before = (
            np.abs(np.diff(plane[60:80, 62:82].astype(int))).mean() for plane in (luma, original)
        )
        if base.has_face[number]:
            assert roughness < before / 2, "a mouth of one colour"
        else:
            assert psnr(luma, original) > 34
        assert frame.colour_tags == ColourTags(5, 5, 6)
    with_face = base.has_face[plan.numbers]
    assert np.allclose(mouths.times, plan.times[with_face])
    assert len(reports) == 1 and reports[0][1] == 75
    assert np.abs(burst_delays(read_audio(output), BURSTS[:3])).max() < 0.005
    assert len(read_audio(output)) / 16000 == pytest.approx(3.0, abs=0.05), "cut with the video"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_every_frame_can_be_drawn_into(tmp_path, base, audio):
    seen = []

    def decorate(planes, tags):
        seen.append(tags)
        planes[0][:16, :32] = 235

    render(base, plan_base(base, 0.8), Mouths(), audio, tmp_path / "out.mkv", decorate=decorate)
    assert seen == [ColourTags(5, 5, 6)] * 20
    for _, frame, _ in source_frames(tmp_path / "out.mkv"):
        assert frame.planes_420()[0][2:14, 2:30].min() > 215


class Cancelled(Exception):
    """Raised by whoever shows the progress."""


def test_a_cancelled_output_leaves_nothing(tmp_path, base, audio):
    def progress(items, stage, total):
        for count, item in enumerate(items):
            if count == 5:
                raise Cancelled
            yield item

    with pytest.raises(Cancelled):
        render(base, plan_base(base, 1.0), Mouths(), audio, tmp_path / "out.mp4", progress)
    assert list(tmp_path.iterdir()) == []


def test_an_older_output_stays_until_the_new_one_is_complete(tmp_path, base, audio):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")

    def fail(planes, tags):
        raise Cancelled

    with pytest.raises(Cancelled):
        render(base, plan_base(base, 1.0), Mouths(), audio, output, decorate=fail)
    assert output.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_still_base_goes_on_as_long_as_the_speech(tmp_path, audio, frames):
    path = tmp_path / "still.mp4"
    with open_video_writer(path, path, audio) as writer:
        writer.add_planes(0.0, frames[0], 25.0)
        writer.finish(1 / 25)
    base = base_video(np.zeros(1), path, TO_FRAME)
    plan = plan_base(base, 0.6)
    assert isinstance(plan, BasePlan)
    render(base, plan, Mouths(), audio, tmp_path / "out.mp4")
    shown = [frame for _, frame, _ in source_frames(tmp_path / "out.mp4")]
    assert len(shown) == 15
    assert all(psnr(f.planes_420()[0][:, :36], frames[0][0][:, :36]) > 33 for f in shown)


# ---------------------------------------------------------------------------- one frame


def test_the_frame_of_the_decoder_is_not_changed(base, frames):
    frame = frame_of(frames[0])
    composed = compose_frame(base, 0, frame, lambda: Mouths().at(0.0))
    assert all(np.array_equal(*pair) for pair in zip(frame.planes_420(), frames[0], strict=True))
    assert not np.array_equal(composed[0], frames[0][0])


def test_without_a_face_no_mouth_is_asked_for(base, frames):
    mouths = Mouths()
    composed = compose_frame(base, 12, frame_of(frames[12]), lambda: mouths.at(0.0))
    assert all(np.array_equal(*pair) for pair in zip(composed, frames[12], strict=True))
    assert not mouths.times


def test_in_a_base_of_full_range_the_mouth_is_full_range_too(base):
    """The same colours, to what either range can say."""
    rng = np.random.default_rng(0)
    grey = rng.uniform(0.3, 0.7, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1)
    flat = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    limited, full = (
        [np.rint(low + scale * grey).astype(np.uint8), flat, flat]
        for low, scale in ((16, 219), (0, 255))
    )
    mouth = Mouths(150).at(0.0)
    mouth.crop[20:40, 20:40] = 60
    first = compose_frame(base, 0, frame_of(limited), lambda: mouth)
    second = compose_frame(base, 0, frame_of(full, is_full_range=True), lambda: mouth)
    seen = (first[0].astype(float) - 16) / 219, second[0].astype(float) / 255
    assert np.abs(seen[0] - seen[1]).max() < 0.015
