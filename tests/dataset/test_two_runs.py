"""Two runs on one folder of samples: the second is refused, and neither loses anything."""

import pytest

from src.cleaning.cross_fitting import measure_clip_offsets
from src.core.errors import InUseError
from src.dataset.index import INDEX_NAME, index_locked, sample_settings
from src.dataset.shards import merge_shards, shard_index_name
from tests.support.processing_helpers import contents, process_folder, settings_in, write_variant

pytest_plugins = ("tests.support.processing_fixtures",)
pytestmark = pytest.mark.usefixtures("in_process")


def test_a_second_run_is_refused_in_one_line(clip_folder, run_script, short_clip):
    write_variant(short_clip, clip_folder / "videos" / "3.mp4", 3)
    processed = clip_folder / "processed"
    before = contents(processed)
    with index_locked(processed / INDEX_NAME):
        status, out, err = run_script(clip_folder)
    assert status == 2 and "Done!" not in out
    assert err.startswith(f"error: {processed} is in use by ") and len(err.splitlines()) == 1
    assert contents(processed) == before
    assert run_script(clip_folder)[0] == 0


def test_what_else_changes_the_index_waits_its_turn(clip_folder):
    config = settings_in(clip_folder)
    processed = clip_folder / "processed"
    process_folder(clip_folder, shard_index_name(0, 1))
    with index_locked(processed / INDEX_NAME):
        with pytest.raises(InUseError):
            measure_clip_offsets(config)
        with pytest.raises(InUseError):
            merge_shards([processed], processed, sample_settings(config.data))


def test_shards_share_a_folder_but_not_with_a_run_of_all_clips(clip_folder):
    processed = clip_folder / "processed"
    one, other = (shard_index_name(number, 2) for number in (0, 1))
    with index_locked(processed / one):
        process_folder(clip_folder, other)
        for name in (one, INDEX_NAME):
            with pytest.raises(InUseError):
                process_folder(clip_folder, name)
    with index_locked(processed / INDEX_NAME), pytest.raises(InUseError):
        process_folder(clip_folder, other)
    process_folder(clip_folder)
    assert not list(processed.glob(".*")), "no lock stays"
