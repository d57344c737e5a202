"""The examples of docs/allocation run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from xelm.allocation.settings import AllocationSettings

PAGES = sorted((Path(__file__).parents[2] / "docs" / "allocation").glob("*.md"))
NAMES = [page.stem for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_runs(
    page: Path, reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "demo" / "allocations").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "corpus").symlink_to(reader)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)
    check = CHECKS.get(page.stem)
    assert check is None or check(names)


CHECKS = {
    "balanced-kmeans": lambda names: (
        sorted(names["model"].sizes_) == [125] * 5 + [126] * 3
        and sorted(names["thirds"].sizes_) == [334, 669]
    ),
    "language": lambda names: names["value"]["owner"]["hi"] == "hi",
    "tfidf": lambda names: {"bg-ru", "ja-zh"} <= names["value"]["experts"].keys(),
    "typology": lambda names: names["found"].groups == (("en", "es"), ("ja", "ko")),
}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_recipes_are_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        for settings in yaml.safe_load(text)["allocations"].values():
            AllocationSettings(**settings)
