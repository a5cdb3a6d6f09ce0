"""Clips at a URL: found, processed as those in a folder, and copied only where they are new."""

from pathlib import Path, PurePosixPath

import fsspec
import pytest

from src.core import storage
from src.core.errors import DatasetError, StorageError
from src.dataset import build, local_copies
from src.dataset.clips import find_clips, find_unused
from src.dataset.index import INDEX_NAME, read_index
from src.dataset.local_copies import local_copy
from src.dataset.remote_files import RemoteFile, remote_files
from tests.support.object_store import CREDENTIALS, object_store
from tests.support.processing_helpers import contents, process_folder, settings_in, write_variant

pytest_plugins = ("tests.support.processing_fixtures",)
pytestmark = pytest.mark.usefixtures("in_process")

VIDEOS, AUDIOS = "memory://clips/videos", "memory://clips/audios"


@pytest.fixture
def store():
    """fsspec's files in memory: ``store(url, content)`` writes one."""
    files = fsspec.filesystem("memory")

    def write(url: str, content: bytes) -> None:
        files.pipe_file(url, content)

    yield write
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """The URLs of the files that are copied."""
    urls, fetch = [], local_copies.fetch

    def watched(url: str, path: Path) -> None:
        urls.append(url)
        fetch(url, path)

    monkeypatch.setattr(local_copies, "fetch", watched)
    return urls


def test_clips_are_found_as_in_folders(store, tmp_path):
    """By the same rules: the audio file of the same folder first, then one beside all."""
    names = ["anna/one.mp4", "anna/two.MOV", "three.mkv", ".hidden/four.mp4", "notes.txt"]
    audio_names = ["anna/one.wav", "one.flac", "two.mp3", "other.wav"]
    for place, folder, files in (
        (VIDEOS, tmp_path / "videos", names), (AUDIOS, tmp_path / "audios", audio_names),
    ):  # fmt: skip
        for name in files:
            store(f"{place}/{name}", name.encode())
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
    local = settings_in(tmp_path).data
    remote = settings_in(tmp_path, video_dir=VIDEOS, audio_dir=AUDIOS).data

    def described(settings, videos, audios) -> list[tuple]:
        return [
            (clip.name, clip.speaker, str(clip.video).removeprefix(str(videos)),
             clip.audio and str(clip.audio).removeprefix(str(audios)))
            for clip in find_clips(settings)
        ]  # fmt: skip

    expected = described(local, tmp_path / "videos", tmp_path / "audios")
    assert described(remote, VIDEOS, AUDIOS) == expected
    assert [row[0] for row in expected] == ["anna/one.mp4", "anna/two.MOV", "three.mkv"]
    unused = find_unused(remote, find_clips(remote))
    assert [reason for _, reason in unused] == [
        reason for _, reason in find_unused(local, find_clips(local))
    ]
    assert {Path(path).name for path, _ in unused} == {"notes.txt", "other.wav", "one.flac"}
    # Audio in a folder, videos at a URL.
    mixed = settings_in(tmp_path, video_dir=VIDEOS).data
    assert [clip.audio for clip in find_clips(mixed)] == [clip.audio for clip in find_clips(local)]


def test_where_nothing_is_one_line_says_so(store, tmp_path):
    settings = settings_in(tmp_path, video_dir="memory://clips/empty").data
    with pytest.raises(DatasetError, match="no video in memory://clips/empty: put"):
        find_clips(settings)
    assert remote_files("memory://nowhere") == {}


def test_copies_last_as_long_as_they_are_needed(store):
    store(f"{VIDEOS}/a.mp4", b"video")
    (file,) = remote_files(VIDEOS).values()
    assert (file.name, file.stem, file.suffix) == ("a.mp4", "a", ".mp4")
    clip = build.Clip("a.mp4", file, file)  # of the same name
    with local_copy(clip) as local:
        assert local.video.read_bytes() == local.audio.read_bytes() == b"video"
        assert local.video != local.audio and local.name == clip.name
    assert not local.video.exists()
    gone = build.Clip("b.mp4", RemoteFile(f"{VIDEOS}/b.mp4", "1"), None)
    message = r"cannot read memory://clips/videos/b\.mp4"
    with pytest.raises(StorageError, match=message), local_copy(gone):
        pass


def test_samples_are_those_of_a_folder_and_are_made_once(
    store, fetched, tmp_path, short_clip, monkeypatch
):
    for number in (1, 2):
        path = write_variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
        store(f"{VIDEOS}/{number}.mp4", path.read_bytes())
    store(f"{VIDEOS}/broken.mp4", b"no video")
    process_folder(tmp_path, processed_dir=tmp_path / "local")
    report = process_folder(tmp_path, video_dir=VIDEOS)
    ((name, reason),) = report.skipped
    assert name == "broken.mp4" and f"{VIDEOS}/broken.mp4" in reason and "lipsync-" not in reason
    index = read_index(tmp_path / "processed" / INDEX_NAME)["samples"]
    versions = {record["clip"]: record.pop("source_version") for record in index}
    assert index == read_index(tmp_path / "local" / INDEX_NAME)["samples"]
    samples = tmp_path / "processed" / "samples"
    assert contents(samples) == contents(tmp_path / "local" / "samples")
    assert len(set(versions.values())) == 2
    # Again: only what failed, or has changed.
    fetched.clear()
    write_variant(short_clip, tmp_path / "changed.mp4", 345)
    store(f"{VIDEOS}/2.mp4", (tmp_path / "changed.mp4").read_bytes())
    report = process_folder(tmp_path, video_dir=VIDEOS)
    assert fetched == [f"{VIDEOS}/2.mp4", f"{VIDEOS}/broken.mp4"] and report.n_reused == 1

    # A network that is gone loses no sample.
    def fails(url: str, path: Path) -> None:
        raise StorageError(f"cannot read {url}: gone")

    monkeypatch.setattr(local_copies, "fetch", fails)
    write_variant(short_clip, tmp_path / "changed.mp4", 6789)
    store(f"{VIDEOS}/2.mp4", (tmp_path / "changed.mp4").read_bytes())
    before = contents(samples)
    report = process_folder(tmp_path, video_dir=VIDEOS)
    assert {name for name, _ in report.skipped} == {"2.mp4", "broken.mp4"}
    assert len(report.samples) == 2 and contents(samples) == before


def test_a_version_changes_with_the_content(store):
    seen = set()
    for content in (b"1", b"22", b"33"):
        store(f"{VIDEOS}/a.mp4", content)
        seen.add(remote_files(VIDEOS)[PurePosixPath("a.mp4")].version)
    assert len(seen) == 3


@pytest.mark.slow
def test_from_a_server_of_which_requests_fail(tmp_path, short_clip, monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.01)
    with object_store("clips") as (address, server):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for number in range(6):
            path = write_variant(short_clip, tmp_path / "videos" / "anna" / f"{number}.mp4", number)
            storage.write(f"s3://clips/videos/anna/{number}.mp4", path)
        report = process_folder(tmp_path, video_dir="s3://clips/videos")
        assert not report.skipped and server.n_failed >= 1
        again = process_folder(tmp_path, video_dir="s3://clips/videos/")
        assert again.n_reused == 6
    process_folder(tmp_path, processed_dir=tmp_path / "local")
    index = read_index(tmp_path / "processed" / INDEX_NAME)["samples"]
    assert all(record.pop("source_version") for record in index)
    assert index == read_index(tmp_path / "local" / INDEX_NAME)["samples"]
    assert {record["speaker"] for record in index} == {"anna"}
