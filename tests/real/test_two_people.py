"""Two real people who cross, pass and meet on screen: each keeps a track of their own.

Needs ``../shared/data`` (see its README). Two pairs take about two minutes on 2 slow cores;
``PAIRS=12 python -m pytest -s tests/real/test_two_people.py`` takes more.
"""

import csv
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from src.core.config import DataConfig
from src.media.reader import read_frames
from tests.support.crossing_people import (
    Person,
    composite_video,
    evaluate_tracks,
    meetings,
    track_everyone,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
N_PAIRS = int(os.environ.get("PAIRS", "2"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real clips: {DATA} is missing"),
]


@pytest.fixture(scope="module")
def people(retinaface) -> list[Person]:
    """One clip of each speaker of lrc_ar: television anchors, 1.2 s each."""
    clips = defaultdict(list)
    with open(DATA / "manifest.tsv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if "/lrc_ar/" in row["path"]:
                clips[row["speaker"]].append(DATA / row["path"])
    people = []
    for speaker, paths in sorted(clips.items()):
        for path in sorted(paths):
            frames = [frame.bgr for frame in read_frames(path, 1)][:30]
            person = Person.detect(speaker, frames, retinaface) if len(frames) > 25 else None
            if person:
                people.append(person)
                break
    return people


def test_no_track_switches_to_another_person(people, retinaface):
    assert len(people) > 20
    rng = np.random.default_rng(2024)
    n_videos, n_swaps, n_tracks, covered = Counter(), Counter(), Counter(), Counter()
    for _ in range(N_PAIRS):
        first, second = (people[who] for who in rng.choice(len(people), 2, replace=False))
        for meeting in meetings(rng):
            frames, true_boxes = composite_video(first, second, meeting)
            tracks = track_everyone(frames, retinaface, DataConfig())
            quality = evaluate_tracks(tracks, true_boxes)
            key = meeting.kind, meeting.speed
            n_videos[key] += 1
            n_swaps[key] += quality.swaps
            n_tracks[key] += len(tracks)
            covered[key] += quality.covered
            if quality.swaps:
                print(f"\nswapped: {first.name}, {second.name}, {meeting}", end="")
    print()
    for key, n in n_videos.items():
        kind, speed = key
        print(f"{kind:6} {speed:4} widths per frame: {n_swaps[key]} swaps in {n} videos, "
              f"{n_tracks[key] / n:.1f} tracks, {100 * covered[key] / n:.1f}% covered")  # fmt: skip
    assert sum(n_swaps.values()) == 0
    assert sum(covered.values()) / sum(n_videos.values()) > 0.95
