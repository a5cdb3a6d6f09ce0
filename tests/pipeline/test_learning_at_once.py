"""Two runs that learn into one presenter's folder: the second is refused."""

import pytest

from src.core.errors import InUseError
from src.core.locks import locked
from src.pipeline import new_speech


def test_a_second_run_is_refused(tmp_path, monkeypatch):
    folder, learned = tmp_path / "me", []
    monkeypatch.setattr(new_speech, "sync_tools", lambda _: None)
    monkeypatch.setattr(new_speech, "find_judge", lambda _: None)
    monkeypatch.setattr(new_speech, "learn_presenter", lambda *_: learned.append(1) or [])
    monkeypatch.setattr(new_speech, "load_presenter", lambda _: None)
    monkeypatch.setattr(new_speech, "check_footage", lambda _: [])
    folder.mkdir()
    with (
        locked(folder / new_speech.LOCK_NAME, folder),
        pytest.raises(InUseError, match=r"me is in use by .* \(process \d+, since "),
    ):
        new_speech.learn(None, [], folder)
    assert learned == []
    assert new_speech.learn(None, [], folder) == ([], []) and learned == [1]
    assert list(folder.iterdir()) == []
