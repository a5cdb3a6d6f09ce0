"""The published pipeline beside ours: networks of the published sizes, a row for each stage."""

import pytest
import torch

from benchmarks.peers import (
    REACH,
    S3FD,
    PublishedSyncNet,
    Row,
    compare_offsets,
    measure_published,
    print_rows,
)
from benchmarks.preprocessing import make_test_clip
from src.models.sync_model import count_parameters


def test_the_networks_have_as_many_weights_as_the_published_ones():
    """The published files hold 89.8 MB (S3FD) and 54.6 MB (SyncNet) of 4 bytes each."""
    with torch.device("meta"):
        assert count_parameters(S3FD()) / 1e6 == pytest.approx(89.8 / 4, rel=0.01)
        assert count_parameters(PublishedSyncNet()) / 1e6 == pytest.approx(54.6 / 4, rel=0.01)


@torch.inference_mode()
def test_s3fd_scores_every_anchor_of_its_six_grids():
    scores, boxes = S3FD(1 / 32).eval()(torch.zeros(1, 3, 64, 64))
    n_anchors = 16**2 + 8**2 + 4**2 + 6**2 + 3**2 + 2**2
    assert scores.shape == (1, n_anchors, 2) and boxes.shape == (1, n_anchors, 4)
    assert torch.allclose(scores.sum(-1), torch.ones(1, n_anchors))


@torch.inference_mode()
def test_both_streams_embed_a_window_of_five_frames():
    network = PublishedSyncNet(1 / 32).eval()
    video = network.embed_video(torch.zeros(2, 3, 5, 224, 224))
    assert video.shape == network.embed_audio(torch.zeros(2, 1, 13, 20)).shape == (2, 32)


def test_all_31_offsets_are_compared():
    audio = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    distances = compare_offsets(audio.roll(3, 0), audio)
    assert distances.shape == (60, 31)
    assert set(distances[20:40].argmin(1).tolist()) == {REACH - 3}


def test_each_published_stage_has_a_row(tmp_path, capsys):
    make_test_clip(tmp_path / "v.mp4", 0.4)
    rows = measure_published(tmp_path / "v.mp4", n_measured=5, width=1 / 32)
    assert len(rows) == 7 and all(row.wall_s > 0 for row in rows)
    detector = next(row for row in rows if "S3FD" in row.stage)
    print_rows(Row("ours: all of it", 0.5, 0.25), [Row("a", 3.0, 2.0), Row("b", 2.0, 3.0)], 10.0)
    text = capsys.readouterr().out
    assert detector.cpu_s > 0 and "published / ours: 10 (wall), 20 (CPU)" in text
