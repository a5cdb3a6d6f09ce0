"""A pair whose audio is reverberant has a note, the same pair with dry audio has none."""

import numpy as np
import soxr
from scipy.signal import fftconvolve

from src.audio.espeak import Voice, synthesise_speech
from src.core.constants import SAMPLE_RATE
from src.core.notes import Reverberant, note_text
from src.media.writer import write_wav
from src.pipeline.engine import LipSyncInference


def test_only_reverberant_audio_is_noted(talking_clip, tmp_path):
    samples, rate, _ = synthesise_speech("Good morning, pick a tin of paint.", Voice("en-us"))
    dry = soxr.resample(samples, rate, SAMPLE_RATE)
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    hall = np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 10 ** (-3 * time_s)  # 1 s
    hall *= 2 / np.linalg.norm(hall)  # 6 dB more than the direct path
    hall[0] = 1
    wet = fftconvolve(dry, hall)[: len(dry)]
    engine = LipSyncInference("pretrained/best_model.pth", device="cpu")
    notes = []
    for name, audio in (("dry.wav", dry), ("wet.wav", wet / np.abs(wet).max())):
        write_wav(tmp_path / name, audio.astype(np.float32))
        notes.append(engine.measure(talking_clip, tmp_path / name).notes)
    assert not any(isinstance(note, Reverberant) for note in notes[0])
    (note,) = [note for note in notes[1] if isinstance(note, Reverberant)]
    assert note.max_late_ms == 40 and "40 ms later" in note_text(note, "en")
    assert "混响" in note_text(note, "zh_CN")
