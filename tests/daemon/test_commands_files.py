"""Real work: a few hundred files through gzip, with the daemon killed in between."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.daemon.harness import House

FILES = 200


def sources(where: Path) -> list[Path]:
    """Copies of modules of the standard library, some under names that a shell would mangle."""
    where.mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    originals = sorted(library.glob("*.py")) + sorted(library.glob("[a-e]*/*.py"))
    copies = []
    for number, original in enumerate(originals[:FILES]):
        odd = ("a b $(x) ", "zażółć ", "-", "")[min(number, 3)]
        copies.append(where / f"{odd}{number:03}-{original.name}")
        shutil.copyfile(original, copies[-1])
    assert len(copies) == FILES
    return copies


def compressed(where: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in where.glob("*.gz")}


def compressed_by_xargs(files: list[Path], where: Path) -> dict[str, bytes]:
    """What `xargs -P` makes of the same files."""
    where.mkdir()
    for file in files:
        shutil.copyfile(file, where / file.name)
    names = "\0".join(f"./{file.name}" for file in files)
    subprocess.run(["xargs", "-0", "-n", "20", "-P", "4", "gzip", "-kfn"], cwd=where, check=True,
                   input=names.encode())
    return compressed(where)


def test_files_compressed_with_kills_between_are_as_by_xargs(house: House) -> None:
    """Three times kill -9 while four gzip run at once: every file byte for byte, none lost."""
    files = sources(house.root / "files")
    house.write_config(retry__worker_lost__initial_delay="10ms")
    argv = ("gzip", "-kfn", "--")
    where = str(house.root / "files")
    ids = [int(house.cli("exec", "-q", "--cwd", where, "--", *argv, file.name))
           for file in files[:20]]
    ids += house.queue.enqueue_many([
        ("exec", {"argv": [*argv, file.name], "cwd": where}) for file in files[20:]
    ])
    for part in (20, 80, 140):
        daemon = house.start("--workers", "4")
        daemon.wait_for("job.completed", job_id=ids[part])
        daemon.kill()
    assert house.wait_until_all_ended(house.start("--workers", "4"))
    jobs = [house.job(job_id) for job_id in ids]
    assert {job["status"] for job in jobs} == {"completed"}
    assert sum(job["rescue_count"] for job in jobs) <= 3 * 4
    assert all(job["attempt"] > job["rescue_count"] for job in jobs)
    assert compressed(house.root / "files") == compressed_by_xargs(files, house.root / "xargs")
