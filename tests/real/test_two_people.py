"""Two real people who cross, pass and meet on one picture: each keeps a track of their own.

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
from tests.support.crossing_films import Person, film, follow_all, judge, meetings

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
    found = []
    for speaker, paths in sorted(clips.items()):
        for path in sorted(paths):
            frames = [picture.bgr for picture in read_frames(path, 1)][:30]
            person = Person.seen_by(speaker, frames, retinaface) if len(frames) > 25 else None
            if person:
                found.append(person)
                break
    return found


def test_nobody_takes_over_a_strange_track(people, retinaface):
    assert len(people) > 20
    rng = np.random.default_rng(2024)
    films, swaps, tracks, covered = Counter(), Counter(), Counter(), Counter()
    for _ in range(N_PAIRS):
        one, other = (people[who] for who in rng.choice(len(people), 2, replace=False))
        for meeting in meetings(rng):
            pictures, truth = film(one, other, meeting)
            found = follow_all(pictures, retinaface, DataConfig())
            verdict = judge(found, truth)
            key = meeting.way, meeting.speed
            films[key] += 1
            swaps[key] += verdict.swaps
            tracks[key] += len(found)
            covered[key] += verdict.covered
            if verdict.swaps:
                print(f"\nswapped: {one.name}, {other.name}, {meeting}", end="")
    print()
    for (way, speed), n in films.items():
        key = way, speed
        print(f"{way:6} {speed:4} widths a frame: {swaps[key]} swaps in {n} films, "
              f"{tracks[key] / n:.1f} tracks, {100 * covered[key] / n:.1f} % covered")  # fmt: skip
    assert sum(swaps.values()) == 0
    assert sum(covered.values()) / sum(films.values()) > 0.95
