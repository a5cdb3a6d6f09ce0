"""Notes in words."""

import pytest
from pydantic import TypeAdapter

from src.core.notes import Note, RemadeLips, note_text

SIGNED = RemadeLips(software="lipsync 1.2", signer="Anna's studio", is_intact=True)
TEXT = "synthetic: the lips in this video were re-made (Content Credentials by Anna's studio)"


def test_re_made_lips_in_words():
    assert note_text(SIGNED, "en") == TEXT
    changed = SIGNED.model_copy(update={"is_intact": False})
    assert note_text(changed, "en") == f"{TEXT}; the file was changed since it was signed"
    nameless = SIGNED.model_copy(update={"signer": None})
    assert note_text(nameless, "en") == TEXT.replace("Anna's studio", "an unknown signer")
    chinese = note_text(changed, "zh_CN")
    assert "Anna's studio" in chinese and "口型" in chinese and "lips" not in chinese


@pytest.mark.parametrize("signer", ["Anna's studio", None])
def test_note_is_read_by_its_code(signer):
    note = SIGNED.model_copy(update={"signer": signer})
    plain = note.model_dump()
    assert plain == {
        "code": "remade_lips", "software": "lipsync 1.2", "signer": signer, "is_intact": True,
    }  # fmt: skip
    assert TypeAdapter(Note).validate_python(plain) == note
