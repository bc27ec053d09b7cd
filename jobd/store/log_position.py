"""How far commits have filled the write-ahead log.

Its size does not say: the log is made long beforehand, and written again from its start after each
checkpoint. Nor may it be asked for often: the next sync of a file whose times somebody has seen
takes longer.
"""

import os
from pathlib import Path

HEADER, FRAME_HEADER = 32, 24
"""Bytes before the first page, and before each (sqlite.org/fileformat2.html, "The WAL File")."""
_PAGE_SIZE = slice(8, 12)
_SALTS = slice(16, 24)
_FRAME_SALTS = slice(8, 16)


def is_filled(database: Path, size: int) -> bool:
    """Whether commits have reached the first `size` bytes of the log since it last began anew.

    Each frame carries the salts of the log's header, which change when it begins anew. Of one that
    was written and rolled back it is said too soon.
    """
    try:
        log = os.open(f"{database}-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        header = os.pread(log, HEADER, 0)
        frame = FRAME_HEADER + int.from_bytes(header[_PAGE_SIZE])
        last = HEADER + (size - HEADER) // frame * frame
        return len(header) == HEADER and (
            os.pread(log, FRAME_HEADER, last)[_FRAME_SALTS] == header[_SALTS]
        )
    except OSError:
        return False
    finally:
        os.close(log)
