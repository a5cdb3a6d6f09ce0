"""Clip offsets: folds, measuring, the common zero, and files."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.cleaning.clip_offsets import (
    ClipOffset,
    assign_folds,
    best_offset_ms,
    centre_offsets,
    damp_fold_shift,
    estimate_clip_offset,
    evidence_threshold,
    measure_strength,
    median_change_ms,
    median_over_speakers,
    plot_clip_offsets,
    read_clip_offsets,
    retime_samples,
    write_clip_offsets,
)
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.evaluation.measure import measure_zero_ms
from src.scoring.evidence import Evidence

REACH = 60


def sample(number: int, speaker: str = "", length: int = 100, offset_ms: float = 0.0) -> Sample:
    name = f"{speaker}/{number}.mp4"
    return Sample(f"{name}#0", name, speaker, name, Path(), length, offset_ms)


def evidence(offset_ms: float, height: float = 0.5, windows: int = 60, seed: int = 0) -> Evidence:
    """Noise with a peak of ±100 ms around an offset."""
    steps = np.arange(-REACH, REACH + 1)
    peak = height * np.clip(1 - (np.abs(steps - offset_ms / 10) / 10) ** 2, 0, None)
    noise = np.random.default_rng(seed).normal(0, 0.05, (windows, len(steps)))
    return Evidence((peak + noise).astype(np.float32), np.ones((windows, len(steps)), bool))


def test_a_speaker_is_in_one_fold_only():
    samples = [sample(n, f"s{n % 7}", 50 + 10 * n) for n in range(40)]
    folds = assign_folds(samples, 3, 1)
    speakers = [{sample.speaker for sample in fold} for fold in folds]
    assert set.union(*speakers) == {f"s{n}" for n in range(7)}
    assert sum(map(len, speakers)) == 7 and sum(map(len, folds)) == 40
    frames = [sum(sample.length for sample in fold) for fold in folds]
    assert max(frames) < 1.6 * min(frames)
    assert assign_folds(samples, 3, 1) == folds
    alike = [sample(n, f"s{n}") for n in range(12)]
    assert assign_folds(alike, 3, 1) != assign_folds(alike, 3, 2)


def test_the_largest_speaker_has_a_fold_of_its_own():
    samples = [sample(n, "grid", 75) for n in range(30)]
    samples += [sample(n, f"s{n}", 75) for n in range(12)]
    sizes = sorted(len(fold) for fold in assign_folds(samples, 3, 0))
    assert sizes == [6, 6, 30]


def test_without_speaker_names_each_clip_is_a_speaker():
    assert [len(fold) for fold in assign_folds([sample(n) for n in range(9)], 3, 0)] == [3, 3, 3]


def test_too_few_speakers_are_reported():
    with pytest.raises(DatasetError, match=r"2 speakers .* at least 3 are required"):
        assign_folds([sample(n, f"s{n % 2}") for n in range(10)], 3, 0)


@pytest.mark.parametrize("offset_ms", [0, -37, 120, 243])
@pytest.mark.parametrize("moved_ms", [0, 80, -120])
def test_clip_offset_is_the_shift_plus_the_remaining_offset(offset_ms, moved_ms):
    one = sample(1, "anna", offset_ms=moved_ms)
    measured = estimate_clip_offset(one, evidence(offset_ms - moved_ms), 0.1, 0.0)
    assert measured.offset_ms == pytest.approx(offset_ms, abs=4)
    assert estimate_clip_offset(
        one, evidence(offset_ms - moved_ms), 0.1, 25.0
    ).offset_ms == pytest.approx(measured.offset_ms - 25, abs=0.11)


def test_zero_reference_is_the_median_offset_of_training_clips(monkeypatch):
    shown = [sample(n, f"s{n}") for n in range(9)]
    seen = {one.id: evidence(10.0 * n - 20) for n, one in enumerate(shown)}
    monkeypatch.setattr(
        "src.evaluation.measure.measure_evidence",
        lambda model, samples, reach: [seen[s.id] for s in samples],
    )
    assert measure_zero_ms(None, shown, 100) == pytest.approx(20, abs=4)
    seen |= {one.id: evidence(0, 0.0, windows=3) for one in shown}  # too little to measure
    assert measure_zero_ms(None, shown, 100) == 0 and measure_zero_ms(None, [], 100) == 0


def test_the_evidence_is_the_lead_by_the_length():
    """Four times the windows are twice the evidence, at the same lead."""
    lead = np.zeros((1, 2 * 120 + 1), np.float32)
    lead[0, 120] = 0.4
    short, long = (
        Evidence(np.repeat(lead, n, 0), np.ones((n, lead.shape[1]), bool)) for n in (25, 100)
    )
    assert measure_strength(short) == pytest.approx(0.4) and measure_strength(long) == (
        pytest.approx(0.8)
    )


def test_without_evidence_there_is_no_offset():
    mismatched = [evidence(0, 0.0, seed=seed) for seed in range(40)]
    threshold = evidence_threshold(mismatched)
    below = [measure_strength(one) <= threshold for one in mismatched]
    assert sum(below) == 26, "65 of 100 have less"
    assert (
        estimate_clip_offset(sample(1), mismatched[int(np.argmax(below))], threshold, 0).offset_ms
        is None
    )
    assert estimate_clip_offset(sample(1), evidence(30), threshold, 0).offset_ms == pytest.approx(
        30, abs=4
    )
    edge = evidence(640)
    assert estimate_clip_offset(sample(1), edge, 0.0, 0).offset_ms is None, "it may lie beyond"
    assert best_offset_ms(edge) is None and best_offset_ms(evidence(30)) == pytest.approx(30, abs=4)
    short = Evidence(evidence(0).similarity[:5], evidence(0).usable[:5])
    assert (
        measure_strength(short) == 0
        and estimate_clip_offset(sample(1), short, 0.0, 0).offset_ms is None
    )
    silent = Evidence(edge.similarity, np.zeros_like(edge.usable))
    assert estimate_clip_offset(sample(1), silent, 0.0, 0) == ClipOffset("/1.mp4#0", None, 0.0)


def test_unmeasured_clips_get_the_median_of_their_speaker():
    samples = [sample(n, "anna") for n in range(4)] + [sample(9, "bob", offset_ms=70.0)]
    measured = zip(samples, [10, 30, 20, None, None], strict=True)
    measured = [ClipOffset(one.id, offset, 1.0) for one, offset in measured]
    assert [one.offset_ms for one in retime_samples(samples, measured)] == [10, 30, 20, 20, 0]
    assert [one.offset_ms for one in retime_samples(samples, None)] == [0] * 5


@pytest.mark.parametrize("zeros", [[0.0, 40.0], [0.0, 40.0, -50.0], [0.0, 10.0, 20.0, 30.0, 90.0]])
def test_folds_converge_to_a_common_zero(zeros):
    """Folds with different zeros: without damping, two networks would swap theirs forever."""
    folds = [[sample(n, f"s{n}") for n in range(5 * k, 5 * k + 5)] for k in range(len(zeros))]
    apart = []
    for _ in range(3):
        apart.append(max(zeros) - min(zeros))
        others = [(sum(zeros) - own) / (len(zeros) - 1) for own in zeros]
        seen = []
        for fold, own, other in zip(folds, zeros, others, strict=True):
            timed = [replace(one, offset_ms=10.0 * n + own) for n, one in enumerate(fold)]
            measured = [ClipOffset(one.id, 10.0 * n + other, 1.0) for n, one in enumerate(fold)]
            new = damp_fold_shift([*measured, ClipOffset("x", None, 0.0)], timed, len(folds))
            assert new[-1] == ClipOffset("x", None, 0.0)
            steps = np.diff([one.offset_ms for one in new[:-1]])
            assert steps == pytest.approx(10), "differences within a fold do not change"
            seen.append(new[0].offset_ms)
        zeros = seen
    assert apart[0] >= 40 and max(apart[1:]) == pytest.approx(0, abs=0.2)
    nothing = [ClipOffset("/1.mp4#0", None, 0.0)]
    assert damp_fold_shift(nothing, folds[0], 2) == nothing


def test_zero_is_the_median_over_speakers():
    samples = [sample(n, "grid") for n in range(30)] + [sample(n, f"s{n}") for n in range(4)]
    offsets = {one.id: 50.0 if one.speaker == "grid" else 10.0 * int(one.speaker[1:])
               for one in samples}  # fmt: skip
    assert median_over_speakers(offsets, samples) == 20, "of 0, 10, 20, 30 and 50"
    measured = [ClipOffset(one.id, offsets[one.id], 1.0) for one in samples[:-1]]
    measured.append(ClipOffset(samples[-1].id, None, 0.1))
    shifted = centre_offsets(measured, samples)  # of 0, 10, 20 and 50
    assert [one.offset_ms for one in shifted[-4:]] == [-15, -5, 5, None]
    assert centre_offsets([ClipOffset("a", None, 0.0)], samples) == [ClipOffset("a", None, 0.0)]


def test_median_change_between_rounds():
    before = [
        ClipOffset("a", 10.0, 1),
        ClipOffset("b", 20.0, 1),
        ClipOffset("c", None, 0),
        ClipOffset("d", 0.0, 1),
    ]
    after = [
        ClipOffset("a", 12.0, 1),
        ClipOffset("b", 15.0, 1),
        ClipOffset("c", 9.0, 1),
        ClipOffset("d", None, 0),
    ]
    assert median_change_ms(before, after) == 3.5
    assert median_change_ms(None, after) is None


def test_the_table_is_read_as_written(tmp_path):
    measured = [ClipOffset("ñ 口播/1.mp4#0", -12.3, 0.81), ClipOffset("b,c#1", None, 0.0)]
    write_clip_offsets(tmp_path / "t.csv", measured)
    assert read_clip_offsets(tmp_path / "t.csv") == measured
    with open(tmp_path / "t.csv", encoding="utf-8-sig", newline="") as file:
        assert next(csv.reader(file)) == ["id", "offset_ms", "evidence"]


def test_names_of_any_bytes_and_letters_are_read_as_written(tmp_path):
    """A name that is not UTF-8 must not end a run after an hour of training."""
    names = ["caf\udce9/1.mp4#0", "=1+1.mp4#0", "@a#1"]
    measured = [ClipOffset(name, 5.0, 0.5) for name in names]
    write_clip_offsets(tmp_path / "t.csv", measured)
    assert read_clip_offsets(tmp_path / "t.csv") == measured
    content = (tmp_path / "t.csv").read_bytes()
    assert b"caf\xe9/1.mp4" in content and b"\n'=1+1.mp4" in content


@pytest.mark.parametrize("content", [
    "", "a,b\n1,2\n", "id,offset_ms,evidence\nx,wide,1\n", "id,offset_ms,evidence\nx,nan,1\n",
    "id,offset_ms,evidence\nx,1,inf\n", "id,offset_ms,evidence\nx,1e300,1\n",
])  # fmt: skip
def test_a_damaged_table_is_reported(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    if content:
        with pytest.raises(DatasetError, match=r"t\.csv"):
            read_clip_offsets(tmp_path / "t.csv")
    else:
        assert read_clip_offsets(tmp_path / "t.csv") == []


def test_the_plot_has_a_row_for_each_source_and_a_column_for_each_round(tmp_path):
    samples = [sample(n, f"{source}__x{n}") for source in ("tv", "web") for n in range(20)]
    measured = [ClipOffset(one.id, 40.0, 1.0) for one in samples]
    shapes = []
    for count, before in ((20, None), (40, None), (40, measured)):
        plot_clip_offsets(tmp_path / "o.png", samples[:count], measured, before)
        shapes.append(cv2.imread(str(tmp_path / "o.png")).shape)
    odd = [replace(samples[0], clip=f"{name}/1.mp4") for name in ("caf\udce9", "a$b$", r"\frac")]
    plot_clip_offsets(tmp_path / "o.png", odd, measured, None)
    assert shapes[1][0] > 1.4 * shapes[0][0] and shapes[2][1] > 1.8 * shapes[1][1]
