"""The evaluation harness on a bundle; its tasks are two small ones of our own."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from transformers import AutoModelForCausalLM, AutoTokenizer

from xelm.ensemble.harness import evaluate
from xelm.errors import UserError

CHOICE = """
task: which_word
dataset_path: json
dataset_name: null
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: 0
metric_list:
  - metric: acc
"""
SPEAK = """
task: go_on
dataset_path: json
dataset_name: null
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs:
  until: ["."]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, texts: Any) -> Path:
    """A folder with a choice task and a generation task on the reader's text."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"text": text[:40], "choices": [text[40:50], other[60:70]]}
        for language in ("en", "es", "hi")
        for text, other in zip(texts[language][:4], texts[language][1:5], strict=False)
    ]
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    (folder / "which_word.yaml").write_text(CHOICE.format(file=file))
    (folder / "go_on.yaml").write_text(SPEAK.format(file=file))
    return folder


def test_one_expert_gets_the_plain_models_figures(single: Path, tasks: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    expert = next((single / "experts").iterdir())
    plain = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(expert),
        tokenizer=AutoTokenizer.from_pretrained(expert),
        batch_size=4,
    )
    found = simple_evaluate(
        model=plain,
        tasks=["which_word", "go_on"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )["results"]
    team = evaluate(single, ["which_word", "go_on"], include_path=tasks, batch_size=4)
    for task in ("which_word", "go_on"):
        for metric, value in found[task].items():
            if isinstance(value, float):
                assert team[task][metric] == value


def test_a_team_answers_and_the_harness_finds_it_by_name(bundle: Path, tasks: Path) -> None:
    results = evaluate(bundle, ["which_word", "go_on"], include_path=tasks, top_m=1)
    assert 0 <= results["which_word"]["acc,none"] <= 1
    with pytest.raises(UserError, match="knows no abracadabra"):
        evaluate(bundle, ["abracadabra"], include_path=tasks)


def test_the_harness_loads_a_bundle_by_itself(bundle: Path, tasks: Path) -> None:
    """`--model hf --model_args pretrained=BUNDLE`, once xelm is imported."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(bundle), "device": "cpu", "dtype": "float32"},
        tasks=["which_word"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )
    assert "which_word" in found["results"]
