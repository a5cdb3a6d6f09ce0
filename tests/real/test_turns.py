"""Real people side by side in one shot who take turns, each with an offset of their own.

Needs ``../shared/data`` (see its README). Takes about two minutes on 2 slow cores.
"""

from pathlib import Path

import numpy as np
import pytest

from src.checkpoints.location import PRETRAINED
from src.core.constants import FPS
from src.pipeline.engine import LipSyncInference
from src.scoring.timeline import Timeline
from tests.support.turn_taking import SIDE, Host, make_turns

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HOSTS = {
    "hilary": "test/webspokes/websitetalkingheads__Hilary.mp4",
    "tatum": "test/webspokes/websitetalkingheads__tatum320_-_Copy.mp4",
    "emi": "train/webspokes/TalkingheadsStudio__Emi.mp4",
}
MAX_ERROR_MS, MIN_RIGHT, MAX_SILENT_S = 20, 0.95, 2.0
# Who speaks (None: nobody) and for how many seconds; by how many ms the audio of each leads.
VIDEOS = {
    "two people": (["tatum", "hilary"],
                   [(0, 3), (1, 2), (0, 2.5), (1, 4), (0, 6), (None, 2.5), (1, 3), (0, 4)],
                   [-120, 60]),
    "three people": (["hilary", "emi", "tatum"],
                     [(0, 4), (1, 4), (2, 4), (0, 2), (2, 3), (1, 3), (0, 4), (1, 3), (2, 4)],
                     [100, -100, 0]),
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real clips: {DATA} is missing"),
]


@pytest.fixture(scope="module")
def inference() -> LipSyncInference:
    return LipSyncInference(PRETRAINED, device="cpu")


@pytest.fixture(scope="module")
def people(inference) -> dict[str, tuple[Host, float]]:
    """Each person, and the offset of their clip in ms."""
    paths = {name: DATA / path for name, path in HOSTS.items()}
    return {
        name: (Host.read(path), inference.compute_sync_score(path)[1]["offset_ms"])
        for name, path in paths.items()
    }


@pytest.mark.parametrize("video", VIDEOS)
def test_who_speaks_when_and_with_which_offset(inference, people, tmp_path, video):
    names, turns, leads_ms = VIDEOS[video]
    hosts, own_ms = zip(*(people[name] for name in names), strict=True)
    made = make_turns(tmp_path / "made.mp4", hosts, turns, leads_ms)
    true_ms = np.add(own_ms, leads_ms)
    _, details = inference.compute_sync_score(tmp_path / "made.mp4")
    found = np.full(made.speech.shape[1], -1)
    measured = [(0.0, None)] * len(hosts)  # of the track in which each speaks longest
    for track in details["tracks"]:
        who = int((track["boxes"][0][1] + track["boxes"][0][3]) / 2 // SIDE)
        for start_s, end_s in track["speaks"]:
            found[round(start_s * FPS) : round(end_s * FPS)] = who
        spoken_s = sum(end_s - start_s for start_s, end_s in track["speaks"])
        measured[who] = max(measured[who], (spoken_s, track["offset_ms"]), key=lambda m: m[0])
    assert [ms for _, ms in measured] == pytest.approx(true_ms.tolist(), abs=MAX_ERROR_MS)
    n_right = sum(int((found[speech] == who).sum()) for who, speech in enumerate(made.speech))
    assert n_right >= MIN_RIGHT * made.speech.sum()
    for who, speech in enumerate(made.speech):
        assert _longest_run((found == who) & ~speech) <= MAX_SILENT_S * FPS
    timeline = Timeline.from_details(details["timeline"])
    errors_ms = np.array([timeline.offset_at((frame + 0.5) / FPS) - true_ms[who]
                          for who, frame in np.argwhere(made.speech)])  # fmt: skip
    assert np.mean(np.abs(errors_ms) <= MAX_ERROR_MS) >= MIN_RIGHT


def _longest_run(flags: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return int(np.diff(edges)[::2].max(initial=0))
