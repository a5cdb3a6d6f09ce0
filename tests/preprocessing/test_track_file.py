"""Samples read back as written, whatever the pieces; damaged ones are refused."""

import errno
import os

import numpy as np
import pytest

from src.audio.features import silence
from src.core.errors import DatasetError, OutputError
from src.preprocessing import track_file as sample_file
from src.preprocessing.clip_features import AudioFeatures
from src.preprocessing.track_file import (
    PIECE,
    CropFile,
    RowFile,
    read_sample,
    record_type,
    write_sample,
)

SIZE, N_MFCC = 48, 13


def crops_and_boxes(folder, frames: int) -> tuple[RowFile, np.ndarray, np.ndarray]:
    """A closed file of random crops, and what is in it."""
    rng = np.random.default_rng(frames)
    crops = rng.integers(0, 256, (frames, SIZE, SIZE)).astype(np.uint8)
    boxes = rng.normal(100, 30, (frames, 4)).astype(np.float32)
    file = CropFile(folder / "crops.rows", SIZE)
    for crop, box in zip(crops, boxes, strict=True):
        file.append(crop, box)
    file.close()
    return file.rows, crops, boxes


def sound_of(folder, frames: int) -> tuple[AudioFeatures, np.ndarray, np.ndarray]:
    """A closed file of random MFCC and speech, and what is in it."""
    rng = np.random.default_rng(frames + 1)
    mfcc = rng.normal(size=(frames, 4, N_MFCC)).astype(np.float32)
    speech = rng.random(frames) > 0.5
    sound = AudioFeatures(folder / "sound.rows", N_MFCC)
    sound.append(mfcc, speech)
    sound.rows.close()
    return sound, mfcc, speech


# ---------------------------------------------------------------------------- rows


@pytest.mark.parametrize("n_rows", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 7])
def test_rows_read_back_in_slices(tmp_path, n_rows):
    kind = np.dtype([("number", "<i4"), ("more", "<f4", (3,))])
    rows = np.zeros(n_rows, kind)
    rows["number"], rows["more"] = np.arange(n_rows), np.random.default_rng(0).random((n_rows, 3))
    file = RowFile(tmp_path / "rows", kind)
    for start in range(0, n_rows, 3):
        file.append(rows[start : start + 3])
    file.close()
    assert len(file) == n_rows and (tmp_path / "rows").read_bytes() == rows.tobytes()
    for start, stop in [(0, n_rows), (0, 1), (n_rows - 1, n_rows + 5), (PIECE - 2, PIECE + 2),
                        (3, 3), (n_rows, n_rows + 1), (n_rows + 9, n_rows + 12)]:  # fmt: skip
        start = max(0, start)
        assert np.array_equal(file[start:stop], rows[start:stop])


def test_rows_reach_the_disk_in_pieces(tmp_path):
    """Memory stays the same however many there are."""
    file = RowFile(tmp_path / "rows", np.dtype("<i4"))
    for number in range(PIECE + 10):
        file.append(np.array([number], "<i4"))
    assert (tmp_path / "rows").stat().st_size == 4 * PIECE
    file.close()
    assert (tmp_path / "rows").stat().st_size == 4 * (PIECE + 10)


def test_rows_in_any_order_of_memory(tmp_path):
    """A view that is not contiguous is written row by row all the same."""
    table = np.arange(40, dtype="<i4").reshape(4, 10)
    file = RowFile(tmp_path / "rows", np.dtype(("<i4", (4,))))
    file.append(table.T)
    file.close()
    assert np.array_equal(np.fromfile(tmp_path / "rows", "<i4").reshape(10, 4), table.T)


def test_discarded_rows_leave_nothing(tmp_path):
    file = CropFile(tmp_path / "a.rows", SIZE)
    file.append(np.zeros((SIZE, SIZE), np.uint8), np.zeros(4, np.float32))
    file.discard()
    assert not list(tmp_path.iterdir())
    file.discard()


def test_a_file_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*gone.a\.rows: No such file"):
        RowFile(tmp_path / "gone" / "a.rows", np.dtype("u1"))


class FullDisk:
    """A file on a disk without room."""

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    flush = close = lambda self: None


@pytest.mark.parametrize("rows", [1, PIECE])
def test_a_full_disk_is_said_whenever_it_is_found_out(tmp_path, rows):
    file = RowFile(tmp_path / "a.rows", np.dtype("u1"))
    file._file.close()
    file._file = FullDisk()
    with pytest.raises(OutputError, match=r"cannot write .*a\.rows: No space left on device"):
        file.append(np.zeros(rows, np.uint8))
        file.close()


# ---------------------------------------------------------------------------- samples


def test_a_sample_reads_back_as_a_memory_map(tmp_path):
    rows, crops, boxes = crops_and_boxes(tmp_path, 12)
    sound, mfcc, speech = sound_of(tmp_path, 40)
    write_sample(tmp_path / "a.npy", rows, sound, first_frame=3)
    records = read_sample(tmp_path / "a.npy")
    assert isinstance(records, np.memmap) and not records.flags.writeable
    assert records.shape == (12,) and records.dtype == record_type(SIZE, N_MFCC, 4)
    assert np.array_equal(records["crop"], crops) and np.array_equal(records["box"], boxes)
    assert np.array_equal(records["mfcc"], mfcc[3:15])
    assert np.array_equal(records["speech"], speech[3:15])


@pytest.mark.parametrize("frames", [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3])
def test_pieces_give_the_bytes_of_the_whole(tmp_path, frames):
    rows, crops, boxes = crops_and_boxes(tmp_path, frames)
    sound, mfcc, speech = sound_of(tmp_path, frames + 5)
    write_sample(tmp_path / "a.npy", rows, sound, first_frame=5)
    whole = np.zeros(frames, record_type(SIZE, N_MFCC, 4))
    whole["crop"], whole["box"], whole["mfcc"], whole["speech"] = crops, boxes, mfcc[5:], speech[5:]
    np.save(tmp_path / "b.npy", whole)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("heard", [0, 4, 9])
def test_after_the_end_of_the_sound_there_is_silence(tmp_path, heard):
    rows, *_ = crops_and_boxes(tmp_path, 10)
    sound, mfcc, speech = sound_of(tmp_path, heard)
    write_sample(tmp_path / "a.npy", rows, sound, first_frame=3)
    records, left = read_sample(tmp_path / "a.npy"), max(0, heard - 3)
    assert np.array_equal(records["mfcc"][:left], mfcc[3:])
    assert np.array_equal(records["speech"][:left], speech[3:])
    assert not records["speech"][left:].any()
    assert (records["mfcc"][left:] == silence(N_MFCC)).all()


def test_a_sample_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    rows, *_ = crops_and_boxes(tmp_path, 12)
    sound, *_ = sound_of(tmp_path, 12)
    with pytest.raises(OutputError, match=r"gone.a\.npy"):
        write_sample(tmp_path / "gone" / "a.npy", rows, sound, 0)
    (tmp_path / "a.npy").write_text("the old one")
    before = sorted(tmp_path.iterdir())

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sample_file.npy, "write_array_header_1_0", full)
    with pytest.raises(OutputError, match=r"a\.npy: No space left on device"):
        write_sample(tmp_path / "a.npy", rows, sound, 0)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "a.npy").read_text() == "the old one"


class Runs:
    """Its pickle runs a command."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_damaged_samples_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(12, record_type(SIZE, N_MFCC, 4)))
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
    for other in (np.zeros((3, 4)), np.array([Runs()], object)):
        np.save(path, other, allow_pickle=True)
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
def test_a_header_changed_anywhere_never_raises_anything_else(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(12, record_type(SIZE, N_MFCC, 4)))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        content = bytearray(whole)
        content[rng.integers(0, 180)] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_sample(path)
        except DatasetError:
            refused += 1
    assert refused > 300
