"""Several people in a film: who is followed, who is chosen, and who is who when they cross."""

from dataclasses import replace

import numpy as np
import pytest

from src.faces.track import LOOK, OpenTrack, TrackedDetection
from src.faces.tracker import SEARCH_EVERY, TrackingStats, assign, track_faces
from tests.support.crossing_films import (
    KeptCrops,
    to_video_frame,
)
from tests.support.scripted_faces import (
    HEIGHT,
    SETTINGS,
    WIDTH,
    Actor,
    ColourDetector,
    every_track,
    face_at,
    follow,
    pictures,
    spans,
)

# ---------------------------------------------------------------------------- several faces


THREE = [Actor(60, 70, 70), Actor(160, 120, 50, 1), Actor(250, 170, 36, 2)]


def test_each_face_is_a_track_of_its_own():
    found = every_track(THREE)
    assert spans(found) == [(0, 60)] * 3
    middles = sorted(track.sink.middles.mean(0).tolist() for track in found)
    assert np.allclose(middles, [[60, 70], [160, 120], [250, 170]], atol=0.1)
    assert all(np.ptp(track.sink.middles, axis=0).max() < 0.2 for track in found)


def test_the_largest_face_is_chosen_and_the_sinks_of_others_are_discarded():
    made = []

    def new_sink():
        made.append(KeptCrops())
        return made[-1]

    shown, count = pictures(THREE, 40), TrackingStats()
    (track,) = track_faces(shown, ColourDetector(), SETTINGS, 5, new_sink, count)
    assert np.allclose(track.sink.middles.mean(0), [60, 70], atol=0.1)
    assert count.faces == 3
    assert all(sink.closed for sink in made)
    assert [sink for sink in made if not sink.discarded] == [track.sink]


def test_at_most_so_many_are_followed_the_largest_first():
    found = every_track(THREE, max_faces=2)
    assert sorted(round(track.sink.middles[0, 0]) for track in found) == [60, 160]


def test_a_larger_face_takes_the_place_of_the_smallest():
    """Somebody walks in front of two in the background: he is followed, not left out for ever."""
    actors = [Actor(60, 60, 40), Actor(150, 60, 36, 1), Actor(lambda t: 240 if t > 20 else None,
                                                              150, 100, 2)]  # fmt: skip
    found = every_track(actors, max_faces=2)
    by_place = {round(track.sink.middles[0, 0]): track for track in found}
    assert sorted(by_place) == [60, 150, 240]
    assert by_place[60].n_frames == 60
    assert by_place[240].stop == 60 and by_place[240].first_frame <= 21 + SEARCH_EVERY
    assert by_place[150].stop <= by_place[240].first_frame + 1


def test_faces_of_about_one_size_do_not_take_each_others_place():
    actors = [Actor(60, 60, lambda t: 51 + 6 * np.sin(t)), Actor(160, 60, 50, 1)]
    assert spans(every_track(actors, max_faces=1)) == [(0, 60)]


def test_a_newcomer_is_found_at_the_next_search():
    actors = [Actor(60), Actor(lambda t: 220 if t >= 20 else None, who=1)]
    first = {round(track.sink.middles[0, 0]): track.first_frame for track in every_track(actors)}
    assert first == {60: 0, 220: 2 * SEARCH_EVERY}


def test_faces_too_small_are_counted_not_followed():
    found, count, _ = follow([Actor(60, size=24)], min_face_size=40)
    assert found == [] and count.longest == 0
    assert count.widest_small == pytest.approx(24, abs=1)
    found, count, _ = follow([Actor(60, size=24), Actor(200, size=60, who=1)], min_face_size=40)
    assert spans(found) == [(0, 60)] and count.faces == 1


def test_a_followed_face_may_get_a_little_smaller():
    """To 0.8 of the least size: people move back and forth."""
    (track,), _, _ = follow([Actor(100, size=lambda t: 48 - t / 6)], min_face_size=44)
    assert spans([track]) == [(0, 60)], "from 48 to 38"
    (track,), _, _ = follow([Actor(100, size=lambda t: 48 - t / 3)], min_face_size=44)
    assert 35 <= track.n_frames <= 41, "from 48 to 35.2 in frame 38"


@pytest.mark.parametrize(("how", "place", "span"), [("largest", 80, (20, 30)),
                                                    ("longest", 200, (0, 60))])  # fmt: skip
def test_the_track_that_is_asked_for_is_chosen(how, place, span):
    """30 frames of a face of 90 px have more area than 60 of one of 50 px."""
    there = Actor(lambda t: 80 if 20 <= t < 50 else None, size=90, who=1)
    found, _, _ = follow([Actor(200, size=50), there], track=how, detect_every=1)
    assert round(found[0].sink.middles[0, 0]) == place
    start, n = spans(found)[0]
    assert abs(start - span[0]) <= SEARCH_EVERY and start + n == sum(span)


def test_short_tracks_do_not_count():
    there = Actor(lambda t: 80 if t < 10 else None, size=90, who=1)
    found, count, _ = follow([Actor(200, size=50), there], shortest=15)
    assert [round(track.sink.middles[0, 0]) for track in found] == [200]
    assert (count.faces, count.longest) == (1, 60)
    found, count, _ = follow([there], shortest=15)
    assert found == [] and (count.faces, count.longest) == (0, 9)


@pytest.mark.parametrize("seed", range(4))
def test_chosen_tracks_never_share_a_frame(seed):
    rng = np.random.default_rng(seed)
    there = rng.random((4, 6)) < 0.7  # by tens of frames
    sizes = rng.uniform(30, 60, 4)
    actors = [
        Actor(lambda t, who=who: 40 + 80 * who if there[who, t // 10] else None,
              size=sizes[who], who=who)
        for who in range(4)
    ]  # fmt: skip
    found, count, _ = follow(actors, track=("largest", "longest")[seed % 2], max_lost_frames=2)
    seen = np.zeros(60, int)
    for track in found:
        seen[track.first_frame : track.stop] += 1
    assert seen.max() <= 1 and count.faces >= len(found)
    assert [track.first_frame for track in found] == sorted(track.first_frame for track in found)


# ---------------------------------------------------------------------------- crossing


@pytest.mark.parametrize("speed", [2, 4, 8, 16])
@pytest.mark.parametrize("lifted", [0, 15])
def test_people_who_cross_keep_their_tracks(speed, lifted):
    """Faces of 60 px, at ``speed`` px a frame each; the nearer one hides the other.

    At 4 px and more he is hidden for less than 10 frames and stays himself; at 2 px he is
    somebody new afterwards.
    """
    half = 110 // speed
    n = 2 * half + 1
    behind = Actor(lambda t: 160 + speed * (t - half), 120 + lifted, 63)
    before = Actor(lambda t: 160 - speed * (t - half), 120, 60, 1)
    found = every_track([behind, before], n)
    for track in found:
        frames = np.arange(track.first_frame, track.stop)
        away = [np.abs(track.sink.middles[:, 0] - who.x(frames)) for who in (behind, before)]
        # He who is partly hidden is found where he can be seen.
        assert min(error.max() for error in away) < 20, "one of the two, from start to end"
    if speed >= 4:
        assert spans(found) == [(0, n)] * 2
    else:
        assert (0, n) in spans(found), "the one in front"


def test_a_neighbour_is_seen_in_his_own_close_up():
    """In that of the other he is cut off."""
    actors = [Actor(130, 120, 60), Actor(195, 120, 60, 1)]
    found = every_track(actors, 30)
    middles = sorted(track.sink.middles[:, 0].tolist() for track in found)
    assert np.allclose(middles, [[130] * 30, [195] * 30], atol=0.2)
    turned = every_track(actors[::-1], 30)
    assert np.allclose(sorted(t.sink.middles[:, 0].tolist() for t in turned), middles, atol=0.2)


def seen(x: float, look: int, y: float = 120) -> TrackedDetection:
    face = face_at(x, y, 60)
    rough = np.random.default_rng(look).normal(0, 1, LOOK**2).astype(np.float32)
    return TrackedDetection(face.box, face.points, face.score, rough / np.linalg.norm(rough))


def begun(x: float, look: int) -> OpenTrack:
    track = OpenTrack(0, SETTINGS, KeptCrops())
    track.add(0, to_video_frame(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)), seen(x, look))
    return track


def test_a_face_alone_may_change_its_look():
    """A head that turns is no longer like itself. With somebody else near, or when the face was
    lost, that counts."""
    track, same = begun(100, 1), seen(100, 1)
    turned = replace(same, look=-same.look)
    assert assign([track], [turned], 2) == [turned]
    assert assign([track], [turned, seen(250, 2)], 2) == [turned], "too far away to matter"
    assert assign([track], [turned, seen(135, 2)], 2) == [None]
    assert assign([track], [same, seen(135, 2)], 2) == [same]
    assert assign([track, begun(135, 2)], [turned], 2) == [None, None]
    track.lose(to_video_frame(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)))
    assert assign([track], [turned], 4) == [None]
    assert assign([track], [same], 4) == [same]


def test_no_two_wrong_continuations_for_the_sake_of_one_more():
    """Of two people one is hidden; somebody new stands beside the other, who is still there.

    To give the newcomer to the second track and its face to the first would continue both.
    """
    tracks = [begun(100, 1), begun(124, 2)]
    still_there, newcomer = seen(124, 2), seen(160, 3)
    assert assign(tracks, [newcomer, still_there], 2) == [None, still_there]
    assert assign(tracks, [], 2) == [None, None]
    assert assign([], [newcomer], 2) == []
