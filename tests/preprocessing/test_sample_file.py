"""Samples read back as written, whatever the chunks; damaged ones are rejected."""

import errno
import os
import tracemalloc

import numpy as np
import pytest

from src.audio.features import silent_mfcc
from src.core.errors import DatasetError, OutputError
from src.preprocessing import sample_file
from src.preprocessing.clip_features import AudioFeatures
from src.preprocessing.sample_file import (
    CHUNK_FRAMES,
    CropFile,
    RecordFile,
    read_sample,
    sample_dtype,
    write_sample,
)

SIZE, N_MFCC = 48, 13


def write_crops(folder, frames: int) -> tuple[RecordFile, np.ndarray, np.ndarray]:
    """A closed file of random crops and boxes, and these."""
    rng = np.random.default_rng(frames)
    crops = rng.integers(0, 256, (frames, SIZE, SIZE)).astype(np.uint8)
    boxes = rng.normal(100, 30, (frames, 4)).astype(np.float32)
    file = CropFile(folder / "crops.rows", SIZE)
    for crop, box in zip(crops, boxes, strict=True):
        file.append(crop, box)
    file.close()
    return file.records, crops, boxes


def write_audio(folder, frames: int) -> tuple[AudioFeatures, np.ndarray, np.ndarray]:
    """A closed file of random MFCC and speech, and these."""
    rng = np.random.default_rng(frames + 1)
    mfcc = rng.normal(size=(frames, 4, N_MFCC)).astype(np.float32)
    speech = rng.random(frames) > 0.5
    audio = AudioFeatures(folder / "audio.rows", N_MFCC)
    audio.append(mfcc, speech)
    audio.records.close()
    return audio, mfcc, speech


# ---------------------------------------------------------------------------- record files


@pytest.mark.parametrize(
    "n_records", [0, 1, CHUNK_FRAMES - 1, CHUNK_FRAMES, CHUNK_FRAMES + 1, 2 * CHUNK_FRAMES + 7]
)
def test_records_read_back_in_slices(tmp_path, n_records):
    dtype = np.dtype([("number", "<i4"), ("values", "<f4", (3,))])
    records = np.zeros(n_records, dtype)
    records["number"] = np.arange(n_records)
    records["values"] = np.random.default_rng(0).random((n_records, 3))
    file = RecordFile(tmp_path / "rows", dtype)
    for start in range(0, n_records, 3):
        file.append(records[start : start + 3])
    file.close()
    assert len(file) == n_records and (tmp_path / "rows").read_bytes() == records.tobytes()
    for start, stop in [(0, n_records), (0, 1), (n_records - 1, n_records + 5),
                        (CHUNK_FRAMES - 2, CHUNK_FRAMES + 2), (3, 3),
                        (n_records, n_records + 1), (n_records + 9, n_records + 12)]:  # fmt: skip
        start = max(0, start)
        assert np.array_equal(file[start:stop], records[start:stop])


def test_records_reach_the_disk_in_chunks(tmp_path):
    """Memory stays the same however many there are."""
    file = RecordFile(tmp_path / "rows", np.dtype("<i4"))
    for number in range(CHUNK_FRAMES + 10):
        file.append(np.array([number], "<i4"))
    assert (tmp_path / "rows").stat().st_size == 4 * CHUNK_FRAMES
    file.close()
    assert (tmp_path / "rows").stat().st_size == 4 * (CHUNK_FRAMES + 10)


def test_records_in_any_memory_order(tmp_path):
    """A view that is not contiguous is written record by record all the same."""
    table = np.arange(40, dtype="<i4").reshape(4, 10)
    file = RecordFile(tmp_path / "rows", np.dtype(("<i4", (4,))))
    file.append(table.T)
    file.close()
    assert np.array_equal(np.fromfile(tmp_path / "rows", "<i4").reshape(10, 4), table.T)


def test_discarded_crops_leave_no_file(tmp_path):
    file = CropFile(tmp_path / "a.rows", SIZE)
    file.append(np.zeros((SIZE, SIZE), np.uint8), np.zeros(4, np.float32))
    file.discard()
    assert not list(tmp_path.iterdir())
    file.discard()


def test_a_file_that_cannot_be_created_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*gone.a\.rows: No such file"):
        RecordFile(tmp_path / "gone" / "a.rows", np.dtype("u1"))


class FullDisk:
    """A file on a full disk."""

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    flush = close = lambda self: None


@pytest.mark.parametrize("n_records", [1, CHUNK_FRAMES])
def test_a_full_disk_is_reported_on_append_and_on_close(tmp_path, n_records):
    file = RecordFile(tmp_path / "a.rows", np.dtype("u1"))
    file._file.close()
    file._file = FullDisk()
    with pytest.raises(OutputError, match=r"cannot write .*a\.rows: No space left on device"):
        file.append(np.zeros(n_records, np.uint8))
        file.close()


# ---------------------------------------------------------------------------- samples


def test_a_sample_reads_back_as_a_memory_map(tmp_path):
    crop_file, crops, boxes = write_crops(tmp_path, 12)
    audio, mfcc, speech = write_audio(tmp_path, 40)
    write_sample(tmp_path / "a.npy", crop_file, audio, first_frame=3)
    records = read_sample(tmp_path / "a.npy")
    assert isinstance(records, np.memmap) and not records.flags.writeable
    assert records.shape == (12,) and records.dtype == sample_dtype(SIZE, N_MFCC, 4)
    assert np.array_equal(records["crop"], crops) and np.array_equal(records["box"], boxes)
    assert np.array_equal(records["mfcc"], mfcc[3:15])
    assert np.array_equal(records["speech"], speech[3:15])


@pytest.mark.parametrize(
    "frames", [1, CHUNK_FRAMES - 1, CHUNK_FRAMES, CHUNK_FRAMES + 1, 2 * CHUNK_FRAMES + 3]
)
def test_chunks_give_the_bytes_of_the_whole(tmp_path, frames):
    crop_file, crops, boxes = write_crops(tmp_path, frames)
    audio, mfcc, speech = write_audio(tmp_path, frames + 5)
    write_sample(tmp_path / "a.npy", crop_file, audio, first_frame=5)
    whole = np.zeros(frames, sample_dtype(SIZE, N_MFCC, 4))
    whole["crop"], whole["box"], whole["mfcc"], whole["speech"] = crops, boxes, mfcc[5:], speech[5:]
    np.save(tmp_path / "b.npy", whole)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("n_audio_frames", [0, 4, 9])
def test_after_the_end_of_the_audio_there_is_silence(tmp_path, n_audio_frames):
    crop_file, *_ = write_crops(tmp_path, 10)
    audio, mfcc, speech = write_audio(tmp_path, n_audio_frames)
    write_sample(tmp_path / "a.npy", crop_file, audio, first_frame=3)
    records, end = read_sample(tmp_path / "a.npy"), max(0, n_audio_frames - 3)
    assert np.array_equal(records["mfcc"][:end], mfcc[3:])
    assert np.array_equal(records["speech"][:end], speech[3:])
    assert not records["speech"][end:].any()
    assert (records["mfcc"][end:] == silent_mfcc(N_MFCC)).all()


def test_reading_the_speech_of_a_long_clip_keeps_no_mfcc_in_memory(tmp_path):
    audio, _, speech = write_audio(tmp_path, 20 * CHUNK_FRAMES)
    tracemalloc.start()
    try:
        read = audio.read_speech(3, 20 * CHUNK_FRAMES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(read, speech[3:])
    assert peak < 5 * CHUNK_FRAMES * audio.dtype.itemsize  # a quarter of all records


def test_a_sample_that_cannot_be_written_leaves_no_file(tmp_path, monkeypatch):
    crop_file, *_ = write_crops(tmp_path, 12)
    audio, *_ = write_audio(tmp_path, 12)
    with pytest.raises(OutputError, match=r"gone.a\.npy"):
        write_sample(tmp_path / "gone" / "a.npy", crop_file, audio, 0)
    (tmp_path / "a.npy").write_text("the old one")
    before = sorted(tmp_path.iterdir())

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sample_file.npy, "write_array_header_1_0", fail)
    with pytest.raises(OutputError, match=r"a\.npy: No space left on device"):
        write_sample(tmp_path / "a.npy", crop_file, audio, 0)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "a.npy").read_text() == "the old one"


class RunsCommand:
    """Its pickle runs a command."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_damaged_samples_are_rejected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(12, sample_dtype(SIZE, N_MFCC, 4)))
    whole = path.read_bytes()
    damaged = [
        b"", b"text", b"\x00" * 500, b"PK\x03\x04no archive", b"\x80\x04.", whole[:50], whole[:-1],
        whole.replace(b"(12,)", b"((12,"), whole.replace(b"(12,)", b"(-1,)"),
        whole.replace(b"(12,)", b"('',)"),
        whole.replace(b"'crop'", b"'crap'"), whole.replace(b"'descr'", b"'descr "),
        whole.replace(b"'descr'", b" b'desc"), whole.replace(b"{'descr", b"}'descr"),
    ]  # fmt: skip
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.npy .*data_processing\.py again"):
            read_sample(path)
    for array in (np.zeros((3, 4)), np.array([RunsCommand()], object)):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(DatasetError, match=r"a\.npy"):
            read_sample(path)
    with open(path, "wb") as file:
        np.savez(file, crop=np.zeros(3))
    with pytest.raises(DatasetError, match=r"a\.npy"):
        read_sample(path)
    with pytest.raises(DatasetError, match=r"b\.npy"):
        read_sample(tmp_path / "b.npy")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Reading .*Python 2")
def test_a_corrupted_header_never_raises_another_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(12, sample_dtype(SIZE, N_MFCC, 4)))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    n_rejected = 0
    for _ in range(500):
        content = bytearray(whole)
        content[rng.integers(0, 180)] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_sample(path)
        except DatasetError:
            n_rejected += 1
    assert n_rejected > 300
