"""Several people in a video: who is tracked, who is chosen, and who is who when they cross."""

from dataclasses import replace

import numpy as np
import pytest

from src.faces.search_schedule import SEARCH_INTERVAL
from src.faces.track import APPEARANCE_SIZE, OpenTrack, TrackedDetection
from src.faces.tracker import FaceTracker, assign
from tests.support.crossing_people import RecordingSink, to_video_frame
from tests.support.scripted_faces import (
    HEIGHT,
    SETTINGS,
    WIDTH,
    Actor,
    ColourDetector,
    draw_video,
    face_at,
    spans,
    track_actors,
    track_all_actors,
)

# ---------------------------------------------------------------------------- several faces


THREE = [Actor(60, 70, 70), Actor(160, 120, 50, 1), Actor(250, 170, 36, 2)]


def test_each_face_is_a_track_of_its_own():
    tracks = track_all_actors(THREE)
    assert spans(tracks) == [(0, 60)] * 3
    centres = sorted(track.sink.centres.mean(0).tolist() for track in tracks)
    assert np.allclose(centres, [[60, 70], [160, 120], [250, 170]], atol=0.1)
    assert all(np.ptp(track.sink.centres, axis=0).max() < 0.2 for track in tracks)


def test_the_largest_face_is_chosen_and_the_sinks_of_others_are_discarded():
    sinks = []

    def new_sink():
        sinks.append(RecordingSink())
        return sinks[-1]

    tracker = FaceTracker(ColourDetector(), SETTINGS, new_sink)
    (track,) = tracker.track(draw_video(THREE, 40))
    assert np.allclose(track.sink.centres.mean(0), [60, 70], atol=0.1)
    assert tracker.stats.n_tracks == 3
    assert all(sink.closed for sink in sinks)
    assert [sink for sink in sinks if not sink.discarded] == [track.sink]


def test_at_most_max_faces_are_tracked_the_largest_first():
    tracks = track_all_actors(THREE, max_faces=2)
    assert sorted(round(track.sink.centres[0, 0]) for track in tracks) == [60, 160]


def test_a_larger_face_replaces_the_smallest():
    """Someone walks in front of two people in the background and is tracked."""
    actors = [Actor(60, 60, 40), Actor(150, 60, 36, 1), Actor(lambda t: 240 if t > 20 else None,
                                                              150, 100, 2)]  # fmt: skip
    tracks = track_all_actors(actors, max_faces=2)
    by_x = {round(track.sink.centres[0, 0]): track for track in tracks}
    assert sorted(by_x) == [60, 150, 240]
    assert by_x[60].n_frames == 60
    assert by_x[240].stop == 60 and by_x[240].first_frame <= 21 + SEARCH_INTERVAL
    assert by_x[150].stop <= by_x[240].first_frame + 1


def test_faces_of_similar_size_do_not_replace_each_other():
    actors = [Actor(60, 60, lambda t: 51 + 6 * np.sin(t)), Actor(160, 60, 50, 1)]
    assert spans(track_all_actors(actors, max_faces=1)) == [(0, 60)]


def test_a_new_face_is_detected_at_the_next_search():
    actors = [Actor(60), Actor(lambda t: 220 if t >= 20 else None, who=1)]
    tracks = track_all_actors(actors)
    first_frames = {round(track.sink.centres[0, 0]): track.first_frame for track in tracks}
    assert first_frames == {60: 0, 220: 2 * SEARCH_INTERVAL}


def test_faces_that_are_too_small_are_measured_not_tracked():
    tracks, stats, _ = track_actors([Actor(60, size=24)], min_face_size=40)
    assert tracks == [] and stats.longest_track == 0
    assert stats.max_rejected_width == pytest.approx(24, abs=1)
    tracks, stats, _ = track_actors(
        [Actor(60, size=24), Actor(200, size=60, who=1)], min_face_size=40
    )
    assert spans(tracks) == [(0, 60)] and stats.n_tracks == 1


def test_a_tracked_face_may_get_a_little_smaller():
    """To 0.8 of the minimum size: people move back and forth."""
    (track,), _, _ = track_actors([Actor(100, size=lambda t: 48 - t / 6)], min_face_size=44)
    assert spans([track]) == [(0, 60)], "from 48 to 38"
    (track,), _, _ = track_actors([Actor(100, size=lambda t: 48 - t / 3)], min_face_size=44)
    assert 35 <= track.n_frames <= 41, "from 48 to 35.2 in frame 38"


@pytest.mark.parametrize(("criterion", "x", "span"), [("largest", 80, (20, 30)),
                                                    ("longest", 200, (0, 60))])  # fmt: skip
def test_the_track_is_chosen_by_the_criterion(criterion, x, span):
    """30 frames of a face of 90 px have more area than 60 of one of 50 px."""
    large = Actor(lambda t: 80 if 20 <= t < 50 else None, size=90, who=1)
    tracks, _, _ = track_actors([Actor(200, size=50), large], track=criterion, detect_every=1)
    assert round(tracks[0].sink.centres[0, 0]) == x
    start, n = spans(tracks)[0]
    assert abs(start - span[0]) <= SEARCH_INTERVAL and start + n == sum(span)


def test_short_tracks_are_not_used():
    brief = Actor(lambda t: 80 if t < 10 else None, size=90, who=1)
    tracks, stats, _ = track_actors([Actor(200, size=50), brief], min_frames=15)
    assert [round(track.sink.centres[0, 0]) for track in tracks] == [200]
    assert (stats.n_tracks, stats.longest_track) == (1, 60)
    tracks, stats, _ = track_actors([brief], min_frames=15)
    assert tracks == [] and (stats.n_tracks, stats.longest_track) == (0, 9)


@pytest.mark.parametrize("seed", range(4))
def test_chosen_tracks_never_share_a_frame(seed):
    rng = np.random.default_rng(seed)
    is_present = rng.random((4, 6)) < 0.7  # by tens of frames
    sizes = rng.uniform(30, 60, 4)
    actors = [
        Actor(lambda t, who=who: 40 + 80 * who if is_present[who, t // 10] else None,
              size=sizes[who], who=who)
        for who in range(4)
    ]  # fmt: skip
    tracks, stats, _ = track_actors(
        actors, track=("largest", "longest")[seed % 2], max_lost_frames=2
    )
    n_tracks = np.zeros(60, int)
    for track in tracks:
        n_tracks[track.first_frame : track.stop] += 1
    assert n_tracks.max() <= 1 and stats.n_tracks >= len(tracks)
    first_frames = [track.first_frame for track in tracks]
    assert first_frames == sorted(first_frames)


# ---------------------------------------------------------------------------- crossing


@pytest.mark.parametrize("speed", [2, 4, 8, 16])
@pytest.mark.parametrize("lifted", [0, 15])
def test_people_who_cross_keep_their_tracks(speed, lifted):
    """Faces of 60 px, at ``speed`` px a frame each; the nearer one hides the other.

    At 4 px and more the other is hidden for less than 10 frames and keeps the track; at 2 px a
    new track starts afterwards.
    """
    half = 110 // speed
    n = 2 * half + 1
    behind = Actor(lambda t: 160 + speed * (t - half), 120 + lifted, 63)
    front = Actor(lambda t: 160 - speed * (t - half), 120, 60, 1)
    tracks = track_all_actors([behind, front], n)
    for track in tracks:
        frames = np.arange(track.first_frame, track.stop)
        errors = [np.abs(track.sink.centres[:, 0] - who.x(frames)) for who in (behind, front)]
        # A partly hidden face is detected where it is visible.
        assert min(error.max() for error in errors) < 20, "one of the two, from start to end"
    if speed >= 4:
        assert spans(tracks) == [(0, n)] * 2
    else:
        assert (0, n) in spans(tracks), "the one in front"


def test_a_neighbour_is_located_in_its_own_zoomed_crop():
    """In that of the other it is truncated."""
    actors = [Actor(130, 120, 60), Actor(195, 120, 60, 1)]
    x = sorted(track.sink.centres[:, 0].tolist() for track in track_all_actors(actors, 30))
    assert np.allclose(x, [[130] * 30, [195] * 30], atol=0.2)
    swapped = track_all_actors(actors[::-1], 30)
    assert np.allclose(sorted(t.sink.centres[:, 0].tolist() for t in swapped), x, atol=0.2)


def detection(x: float, who: int, y: float = 120) -> TrackedDetection:
    face = face_at(x, y, 60)
    rough = np.random.default_rng(who).normal(0, 1, APPEARANCE_SIZE**2).astype(np.float32)
    return TrackedDetection(face.box, face.points, face.score, rough / np.linalg.norm(rough))


def start_track(x: float, who: int) -> OpenTrack:
    track = OpenTrack(0, SETTINGS, RecordingSink())
    track.add_detection(
        0, to_video_frame(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)), detection(x, who)
    )
    return track


def test_a_single_face_may_change_its_appearance():
    """A head that turns no longer looks the same. That counts only with another face near, or when
    the face was lost."""
    track, same = start_track(100, 1), detection(100, 1)
    turned = replace(same, appearance=-same.appearance)
    assert assign([track], [turned], 2) == [turned]
    assert assign([track], [turned, detection(250, 2)], 2) == [turned], "too far away to matter"
    assert assign([track], [turned, detection(135, 2)], 2) == [None]
    assert assign([track], [same, detection(135, 2)], 2) == [same]
    assert assign([track, start_track(135, 2)], [turned], 2) == [None, None]
    track.add_missed(to_video_frame(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)))
    assert assign([track], [turned], 4) == [None]
    assert assign([track], [same], 4) == [same]


def test_two_tracks_are_not_continued_wrongly_for_the_sake_of_one_more():
    """Of two people one is hidden; a new one stands beside the other, who is still visible.

    Assigning the new face to the second track and its face to the first would continue both.
    """
    tracks = [start_track(100, 1), start_track(124, 2)]
    visible, new = detection(124, 2), detection(160, 3)
    assert assign(tracks, [new, visible], 2) == [None, visible]
    assert assign(tracks, [], 2) == [None, None]
    assert assign([], [new], 2) == []
