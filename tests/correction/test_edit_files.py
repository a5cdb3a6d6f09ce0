"""Edit decisions: cut and slipped as the offset says, and the same when other programs read them.

``.otio`` and ``.edl`` are read by OpenTimelineIO and its adapter, ``.fcpxml`` by its elements.
"""

import csv
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import opentimelineio as otio
import pytest

from src.correction.edit_decisions import (
    AudioCut,
    EditDecisions,
    EditMarker,
    EditSource,
    make_decisions,
)
from src.correction.edit_files import WRITERS, edl_text
from src.correction.timecode import format_timecode, parse_timecode
from src.media.reader import read_audio
from src.scoring.timeline import Segment
from tests.support.media_files import burst_delays, ffmpeg, make_video

DROP = Fraction(30000, 1001)
# fps, drop-frame, frame at which the timecode of the video begins
RATES = [
    (Fraction(24000, 1001), False, 0), (Fraction(25), False, 90000), (DROP, False, 107892),
    (DROP, True, 107892), (Fraction(30), False, 0), (Fraction(50), False, 180000),
    (Fraction(60000, 1001), True, 215784),
]  # fmt: skip


def details_of(pieces, *, video="v.mp4", audio=None, duration_s=10.0, notes=(), per_second=None):
    """As of a result. ``pieces``: (start_s, end_s, offset_ms, end_offset_ms) each."""
    names = ("start_s", "end_s", "offset_ms", "end_offset_ms")
    kind = "jumps" if len(pieces) > 1 else "constant"
    return {
        "video": str(video), "audio": str(audio or video), "video_stream": 1, "audio_stream": 1,
        "duration_s": duration_s, "notes": list(notes), "undetermined": False,
        "timeline": {"kind": kind, "pieces": [dict(zip(names, p, strict=True)) for p in pieces]},
        "per_second": per_second or [0.9] * int(duration_s),
    }  # fmt: skip


@pytest.fixture(params=RATES, ids=str)
def edit(request, tmp_path):
    """Two jumps: the audio is late, early, and late again by a part of a frame; two markers."""
    fps, drop, start = request.param
    n_frames = round(10 * fps)
    first, second = round(3 * fps), round(7 * fps)
    offsets_ms = (-100.0, 250.0, -33.0)
    edges = (0, first, second, n_frames)
    cuts = tuple(
        AudioCut(a, b - a, float(a / fps) - ms / 1000, ms)
        for a, b, ms in zip(edges, edges[1:], offsets_ms, strict=False)
    )
    segments = tuple(
        Segment(float(a / fps), float(b / fps), ms)
        for a, b, ms in zip(edges, edges[1:], offsets_ms, strict=False)
    )
    source = EditSource(tmp_path / "Interview 1.mov", start, 10.5, 1920, 1080, 2, 48000)
    markers = (EditMarker(10, 20, "voice-over <shot> 2"), EditMarker(first, 1, "音频 moved"))
    return EditDecisions(source, source, fps, drop, n_frames, cuts, markers, segments)


def written(edit, suffix):
    return WRITERS[suffix](edit)


def test_otio_keeps_cuts_slips_and_markers(edit):
    timeline = otio.adapters.read_from_string(written(edit, ".otio"), "otio_json")
    video, audio = timeline.tracks
    fps = float(edit.fps)
    assert timeline.global_start_time.value == edit.video.start_frame
    assert video.kind == "Video" and audio.kind == "Audio"
    (clip,) = video
    assert clip.media_reference.target_url == edit.video.path.as_uri()
    assert [m.name for m in clip.markers] == [m.text for m in edit.markers]
    for marker, expected in zip(clip.markers, edit.markers, strict=True):
        assert marker.marked_range.start_time.value == edit.video.start_frame + expected.frame
        assert marker.marked_range.duration.value == expected.n_frames
    assert len(audio) == len(edit.cuts)
    for item, cut in zip(audio, edit.cuts, strict=True):
        assert audio.range_of_child(item).start_time.value == pytest.approx(cut.record_frame)
        assert item.source_range.duration.value == cut.n_frames
        slip_s = (item.source_range.start_time.value - edit.video.start_frame) / fps
        assert slip_s == pytest.approx(cut.source_s, abs=1e-6)  # finer than a frame


def test_beside_its_media_a_file_names_them_alone(edit):
    beside = replace(edit, is_beside=True)
    for suffix in (".otio", ".fcpxml"):
        assert edit.video.path.as_uri() in written(edit, suffix)
        text = written(beside, suffix)
        assert "Interview%201.mov" in text and "file:" not in text


def test_edl_keeps_cuts_slips_and_markers_within_a_frame(edit):
    text, fps = written(edit, ".edl"), float(edit.fps)
    timeline = otio.adapters.read_from_string(text.replace("音频", "audio"), "cmx_3600", rate=fps)
    (video,) = timeline.video_tracks()
    assert [clip.name for clip in video if isinstance(clip, otio.schema.Clip)] == [
        "Interview 1.mov"
    ]
    (clip,) = [clip for clip in video if isinstance(clip, otio.schema.Clip)]
    assert clip.source_range.start_time.value == edit.video.start_frame
    assert clip.source_range.duration.value == edit.n_frames
    if edit.drop:  # the adapter does not read the markers of drop-frame timecode that it writes
        codes = [line.split()[2] for line in text.splitlines() if line.startswith("* LOC:")]
        frames = [parse_timecode(code, edit.fps)[0] for code in codes]
    else:
        frames = [marker.marked_range.start_time.value for marker in clip.markers]
    assert frames == [edit.video.start_frame + marker.frame for marker in edit.markers]
    for audio in timeline.audio_tracks():
        clips = [clip for clip in audio if isinstance(clip, otio.schema.Clip)]
        assert len(clips) == len(edit.cuts)
        for clip, cut in zip(clips, edit.cuts, strict=True):
            slip = clip.source_range.start_time.value - edit.video.start_frame
            assert abs(slip - cut.source_s * fps) <= 0.5
            assert clip.source_range.duration.value == cut.n_frames
    assert len(timeline.audio_tracks()) == 2


def test_edl_says_counting_names_and_remainders(edit):
    lines = written(edit, ".edl").splitlines()
    assert lines[:2] == [
        "TITLE: Interview 1", "FCM: DROP FRAME" if edit.drop else "FCM: NON-DROP FRAME",
    ]  # fmt: skip
    events = [line.split() for line in lines if line[:3].isdigit()]
    assert [event[2] for event in events] == ["V", "AA", "AA", "AA"]
    start = format_timecode(edit.video.start_frame, edit.fps, edit.drop)
    assert events[0][1] == "INTERVIE" and events[0][4] == events[0][6] == start
    assert lines.count("* FROM CLIP NAME: Interview 1.mov") == 4
    assert sum("REMAINDER" in line for line in lines) == 3
    assert edit.largest_remainder_ms() <= 500 / float(edit.fps)


def test_fcpxml_keeps_cuts_slips_and_markers(edit):
    root = ET.fromstring(written(edit, ".fcpxml").partition("<!DOCTYPE fcpxml>")[2])

    def seconds(element, name):
        return Fraction(element.get(name).removesuffix("s"))

    frame, start = 1 / edit.fps, edit.video.start_frame / edit.fps
    sequence, clip = root.find(".//sequence"), root.find(".//spine/asset-clip")
    assert seconds(root.find(".//format"), "frameDuration") == frame
    assert sequence.get("tcFormat") == ("DF" if edit.drop else "NDF")
    assert (
        seconds(sequence, "tcStart") == seconds(clip, "offset") == seconds(clip, "start") == start
    )
    assert seconds(clip, "duration") == edit.n_frames * frame and clip.get("srcEnable") == "video"
    assert root.find(".//media-rep").get("src") == edit.video.path.as_uri()
    audio = clip.findall("asset-clip")
    assert len(audio) == len(edit.cuts)
    for item, cut in zip(audio, edit.cuts, strict=True):
        assert seconds(item, "offset") == start + cut.record_frame * frame
        assert seconds(item, "duration") == cut.n_frames * frame
        assert item.get("srcEnable") == "audio" and item.get("lane") == "-1"
        assert float(seconds(item, "start") - start) == pytest.approx(cut.source_s, abs=1e-4)
    markers = clip.findall("marker")
    assert [(m.get("value"), seconds(m, "start") - start) for m in markers] == [
        (m.text, m.frame * frame) for m in edit.markers
    ]
    assert clip.findall("*") == [*audio, *markers]  # in the order of the DTD


def test_segments_and_markers_as_plain_text(edit):
    rows = list(csv.DictReader(io.StringIO(written(edit, ".csv"))))
    assert [float(row["offset_ms"]) for row in rows] == [-100, 250, -33]
    assert [float(row["frames"]) for row in rows] == [
        pytest.approx(ms * float(edit.fps) / 1000, abs=0.006) for ms in (-100, 250, -33)
    ]
    blocks = written(edit, ".srt").split("\n\n")
    assert [block.splitlines()[2] for block in blocks] == [m.text for m in edit.markers]
    first = 10 / float(edit.fps)
    assert blocks[0].splitlines()[1].startswith(f"00:00:00,{round(first * 1000):03d} --> ")
    assert len(written(edit, ".txt").splitlines()) == 4


# ---------------------------------------------------------------------------- from a result


def test_early_audio_begins_later_and_late_audio_ends_earlier(tmp_path):
    video = make_video(tmp_path / "v.mp4")
    length_s = 4.0
    early = make_decisions(details_of([(0, length_s, 120, 120)], video=video, duration_s=length_s))
    (cut,) = early.cuts
    assert (cut.record_frame, cut.source_s, cut.offset_ms) == (3, 0.0, 120)
    late = make_decisions(details_of([(0, length_s, -90, -90)], video=video, duration_s=length_s))
    (cut,) = late.cuts
    assert cut.record_frame == 0 and cut.source_s == pytest.approx(0.09)
    assert cut.n_frames <= 25 * late.audio.duration_s - 2.25 + 1e-6


def test_a_drift_is_cut_so_that_nothing_is_off_by_more_than_half_a_frame(tmp_path):
    video = make_video(tmp_path / "v.mp4")
    edit = make_decisions(details_of([(0, 4, -100, 20)], video=video, duration_s=4.0))
    assert [cut.record_frame for cut in edit.cuts[:3]] == [0, 33, 66]  # 33 frames: 39.6 ms
    for cut in edit.cuts:
        for frame in (cut.record_frame, cut.record_frame + cut.n_frames):
            assert abs(-100 + 30 * frame / 25 - cut.offset_ms) <= 20.5


def test_notes_and_unmeasured_times_become_markers(tmp_path):
    video = make_video(tmp_path / "v.mp4")
    notes = [{"code": "voice_over", "shot": 1, "start_s": 1.0, "end_s": 2.0, "text": "voice"},
             {"code": "turned_video", "degrees": 90, "text": "turned"}]  # fmt: skip
    details = details_of([(0, 4, 0, 0)], video=video, duration_s=4.0, notes=notes)
    assert make_decisions(details).markers == (EditMarker(25, 25, "voice"),)
    details["per_second"], details["notes"] = [0.9, None, None, None], []
    (marker,) = make_decisions(details).markers
    assert (marker.frame, marker.n_frames) == (25, 75) and "no speech" in marker.text


@pytest.mark.parametrize(("timecode", "frame"), [("01:00:00;00", 107892), ("01:00:00:00", 108000)])
def test_the_timecode_of_the_video_is_kept(tmp_path, timecode, frame):
    video = make_video(tmp_path / "v.mov", fps=30)
    marked = tmp_path / "marked.mov"
    ffmpeg("-i", video, "-r", "30000/1001", "-c:v", "mpeg4", "-timecode", timecode, marked)
    edit = make_decisions(details_of([(0, 4, 0, 0)], video=marked, duration_s=4.0))
    assert edit.fps == DROP and edit.drop == (";" in timecode) and edit.video.start_frame == frame
    assert f" {timecode} " in edl_text(edit)


def test_the_timeline_of_a_portrait_video_is_upright(tmp_path):
    stored, video = make_video(tmp_path / "stored.mp4"), tmp_path / "v.mov"
    ffmpeg("-display_rotation", 90, "-i", stored, "-c", "copy", video)
    plain, upright = (
        make_decisions(details_of([(0, 4, 0, 0)], video=path, duration_s=4.0)).video
        for path in (stored, video)
    )
    assert plain.width > plain.height
    assert (upright.width, upright.height) == (plain.height, plain.width)


def test_there_is_no_ffmpeg_command_for_an_avi_which_has_no_timestamps(tmp_path):
    video = tmp_path / "v.avi"
    ffmpeg("-i", make_video(tmp_path / "v.mkv"), "-c:v", "mjpeg", "-c:a", "pcm_s16le", video)
    edit = make_decisions(details_of([(0, 4, 120, 120)], video=video, duration_s=4.0))
    *_, by_ffmpeg, by_obs = WRITERS[".txt"](edit).splitlines()
    assert "--output" in by_ffmpeg and "-itsoffset" not in by_ffmpeg and ": 120 ms" in by_obs


@pytest.mark.parametrize("offset_ms", [120, -80])
def test_the_ffmpeg_command_moves_the_audio_by_the_offset(tmp_path, offset_ms):
    video = make_video(tmp_path / "v.mkv")
    edit = make_decisions(details_of([(0, 4, offset_ms, offset_ms)], video=video, duration_s=4.0))
    text = WRITERS[".txt"](edit)
    assert f": {offset_ms} ms" in text.splitlines()[-1]
    (line,) = [line for line in text.splitlines() if line.startswith("ffmpeg: ")]
    arguments = line.removeprefix("ffmpeg: ffmpeg ").split()
    ffmpeg(*arguments[:-1], tmp_path / arguments[-1])
    delays = burst_delays(read_audio(tmp_path / arguments[-1]))
    assert float(np.median(delays)) * 1000 == pytest.approx(offset_ms, abs=2)


def test_names_that_no_reel_can_have(edit):
    odd = replace(edit.video, path=Path("采访.mov"))
    lines = edl_text(replace(edit, video=odd, audio=odd)).splitlines()
    assert lines[3].split()[1] == "AX" and "* FROM CLIP NAME: 采访.mov" in lines
