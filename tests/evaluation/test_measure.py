"""Which evidence is measured, and whose it is."""

from pathlib import Path

from src.dataset.samples import Sample
from src.dataset.splits import other_speaker_partners
from src.evaluation import measure


class Model:
    def eval(self):
        return self


def test_evidence_and_speakers_are_in_one_order(monkeypatch):
    """Samples that are their own partner have no mismatched evidence, and no speaker for it."""
    monkeypatch.setattr(measure, "mismatched_evidence", lambda model, *pair: pair[:2])
    samples = [
        Sample(f"{n}", f"{n}.mp4", speaker, speaker, Path(), 30 + n)
        for n, speaker in enumerate(["anna", "ben", "anna", "cleo"])
    ]
    partners = other_speaker_partners(samples)
    partners[1] = samples[1]
    of_matched, of_mismatched = measure.speakers_of_evidence(samples, partners)
    assert of_matched == ["anna", "ben", "anna", "cleo"]
    pairs = measure.measure_mismatched(Model(), samples, partners, 60)
    assert [sample.speaker for sample, _ in pairs] == of_mismatched == ["anna", "anna", "cleo"]
