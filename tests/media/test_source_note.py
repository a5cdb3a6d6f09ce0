"""Notes in videos on what they were made from."""

import pytest

from src.core.errors import OutputError
from src.correction import remux
from src.correction.remux import retime_audio, shift_audio
from src.media import source_note as notes
from src.media.source_note import append_note, read_note, source_note
from src.media.stream_choice import StreamChoice
from src.media.streams import read_source
from src.scoring.timeline import Segment, Timeline
from tests.support.media_files import ffmpeg, make_video

NOTE = "0123456789abcdef" * 2
DELAY = Timeline("constant", (Segment(0.0, float("inf"), 40.0),))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "v.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"])
def test_the_note_of_an_output(video, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    retime_audio(video, None, output, DELAY, source_note=NOTE)
    assert read_note(output) == NOTE
    plain = tmp_path / f"plain{suffix}"
    shift_audio(video, None, plain, 40.0)
    assert read_note(plain) is None
    found, expected = read_source(output), read_source(plain)
    assert (found.n_frames, found.duration_s) == (expected.n_frames, expected.duration_s)
    assert found.title == expected.title


def test_a_corrected_output_gets_its_own_note(video, tmp_path):
    first, second = tmp_path / "first.mkv", tmp_path / "second.mkv"
    retime_audio(video, None, first, DELAY, source_note=NOTE)
    retime_audio(first, None, second, DELAY, source_note=NOTE[::-1])
    assert read_note(second) == NOTE[::-1]


def test_files_without_a_note(tmp_path):
    for name in ("text.mp4", "text.mkv", "text.ts", "empty.mp4", "empty.avi"):
        (tmp_path / name).write_text("no video" if name.startswith("text") else "")
        assert read_note(tmp_path / name) is None
    assert read_note(tmp_path / "none.mp4") is None
    append_note(tmp_path / "text.mp4", NOTE)
    assert (tmp_path / "text.mp4").read_text() == "no video"


def test_a_note_depends_on_the_content_of_video_and_audio(tmp_path):
    for name, content in (("a.mp4", "a"), ("b.mp4", "b"), ("copy.mp4", "a"), ("s.wav", "s")):
        (tmp_path / name).write_text(content)
    a, b, copy, sound = (tmp_path / name for name in ("a.mp4", "b.mp4", "copy.mp4", "s.wav"))
    assert source_note(a, None) == source_note(copy, None)
    assert len({source_note(*pair) for pair in ((a, None), (b, None), (a, sound), (b, sound))}) == 4
    assert len(source_note(a, sound)) == notes.NOTE_LENGTH
    for missing in (tmp_path / "none.mp4", "a\0b.mp4", tmp_path / ("n" * 300)):
        assert source_note(missing, None) is None


def test_a_note_depends_on_the_chosen_tracks(video, tmp_path):
    two = tmp_path / "two.mkv"
    ffmpeg("-i", video, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", two)
    choices = [StreamChoice(), StreamChoice(audio=2), StreamChoice(channel=1)]
    found = [source_note(two, None, choice) for choice in choices]
    assert len(set(found)) == 3 and {len(note) for note in found} == {notes.NOTE_LENGTH}
    assert [notes.noted_tracks(note) for note in found] == ["", "0000010200", "0000010101"]
    assert source_note(two, None, StreamChoice(video=1, audio=1)) == found[0], "the default ones"
    assert source_note(two, None, StreamChoice(audio=3)) is None
    apart = [source_note(video, two, choice) for choice in choices]
    assert len({*apart, *found}) == 6
    assert notes.noted_tracks(source_note(video, two, choices[1])) == "0000010200"
    output = tmp_path / "out.mp4"
    retime_audio(two, None, output, DELAY, source_note=found[1])
    assert read_note(output) == found[1]


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_images_and_pages_hold_a_note_as_a_comment(tmp_path, suffix):
    path = tmp_path / f"view{suffix}"
    for before, after in ((0, 0), (9, 10_000), (10_000, 9), (3000, 3000)):
        path.write_bytes(b"x" * before + notes.note_comment(NOTE).encode() + b"y" * after)
        assert read_note(path) == NOTE
    path.write_bytes(b"x" * 20_000)
    assert read_note(path) is None
    views = {notes.view_note(note, kind) for note in (NOTE, NOTE[::-1]) for kind in ("plot", "a")}
    assert len(views) == 4 and NOTE not in views


def test_the_error_of_a_full_disk_is_the_usual_one(video, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remux, "append_note", fail)
    with pytest.raises(OutputError, match="No space left"):
        remux.retime_audio(video, None, tmp_path / "out.mp4", DELAY, source_note=NOTE)
    assert list(tmp_path.iterdir()) == []
