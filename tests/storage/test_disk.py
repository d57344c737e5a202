"""Too little room is said before anything is written."""

from pathlib import Path

import pytest

from xelm.errors import UserError
from xelm.storage import disk


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    disk.require(tmp_path / "not" / "yet" / "there", 1, "a run")
    with pytest.raises(UserError, match=r"a run needs 1000000000\.0 GB"):
        disk.require(tmp_path / "not" / "yet" / "there", 10**18, "a run")
