"""The file of the last minutes: never larger, never in the way, and mended by its writer."""

import os
import stat
from pathlib import Path

import pytest

from jobd.store.pulse import SIZE, SLOTS, PulseWriter, pulse_file, read_pulse

NOW = 1_700_000_000


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """By second; a second written again has the last word."""
    writer = PulseWriter(tmp_path / "db")
    writer.write([(NOW, 1, 2), (NOW + 1, 3, 4)])
    writer.write([(NOW + 1, 5, 6)])
    assert sorted(read_pulse(tmp_path / "db")) == [(NOW, 1, 2), (NOW + 1, 5, 6)]


def test_it_never_grows(tmp_path: Path) -> None:
    """Sixteen minutes of slots, written over and over."""
    writer = PulseWriter(tmp_path / "db")
    for second in range(NOW, NOW + 3 * SLOTS, 7):
        writer.write([(second, 1, 0)])
    assert pulse_file(tmp_path / "db").stat().st_size == SIZE
    assert len(read_pulse(tmp_path / "db")) <= SLOTS


def test_a_new_writer_goes_on_with_the_old_file(tmp_path: Path) -> None:
    """A restart of the daemon forgets nothing."""
    PulseWriter(tmp_path / "db").write([(NOW, 1, 0)])
    PulseWriter(tmp_path / "db").write([(NOW + 1, 2, 0)])
    assert sorted(read_pulse(tmp_path / "db")) == [(NOW, 1, 0), (NOW + 1, 2, 0)]


def harm_cut(path: Path) -> None:
    os.truncate(path, 20)


def harm_fill(path: Path) -> None:
    path.write_bytes(b"\xff" * SIZE)


def harm_replace(path: Path) -> None:
    path.unlink()
    path.write_text("another file")


@pytest.mark.parametrize("harm", [harm_cut, Path.unlink, harm_replace])
def test_a_file_that_was_harmed_reads_as_nothing_and_is_made_anew(
    tmp_path: Path, harm: object
) -> None:
    """While the writer has it open."""
    writer = PulseWriter(tmp_path / "db")
    writer.write([(NOW, 1, 0)])
    assert callable(harm)
    harm(pulse_file(tmp_path / "db"))
    assert read_pulse(tmp_path / "db") == []
    writer.write([(NOW + 1, 2, 0)])
    assert read_pulse(tmp_path / "db") == [(NOW + 1, 2, 0)]
    PulseWriter(tmp_path / "db").write([(NOW + 2, 3, 0)])
    assert (NOW + 2, 3, 0) in read_pulse(tmp_path / "db")


def test_a_file_full_of_something_else_reads_as_nothing(tmp_path: Path) -> None:
    """Also when it has the right length."""
    harm_fill(pulse_file(tmp_path / "db"))
    assert read_pulse(tmp_path / "db") == []


def test_a_fifo_or_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nobody is made to wait, and nothing elsewhere is overwritten."""
    os.mkfifo(pulse_file(tmp_path / "fifo"))
    assert read_pulse(tmp_path / "fifo") == []
    precious = tmp_path / "precious"
    precious.write_text("kept")
    pulse_file(tmp_path / "link").symlink_to(precious)
    for name in ("fifo", "link"):
        with pytest.raises(OSError):
            PulseWriter(tmp_path / name).write([(NOW, 1, 0)])
    assert precious.read_text() == "kept"


def test_its_mode_is_tight(tmp_path: Path) -> None:
    """For the owner; for the group where the directory is the group's."""
    for mode, expected in ((0o700, 0o600), (0o770, 0o660)):
        directory = tmp_path / f"{mode:o}"
        directory.mkdir()
        directory.chmod(mode)
        PulseWriter(directory / "db").write([(NOW, 1, 0)])
        assert stat.S_IMODE(pulse_file(directory / "db").stat().st_mode) == expected
