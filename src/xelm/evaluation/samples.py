"""Text that the arms write, beside each other: one prompt a language, the same for all.

The prompt is the beginning of a held-out document. Sampling is seeded, so it is repeatable.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xelm.corpus.shards import TokenShards
from xelm.evaluation.contest import Contest, fingerprint_of
from xelm.evaluation.text import reading_order
from xelm.launching.task import Task
from xelm.storage import atomic

Report = Callable[[Mapping[str, Any]], None]
_PROMPT_LETTERS = 40
_TEMPERATURE, _TOP_P, _SEED = 0.7, 0.9, 1


def prompt(shards: TokenShards, language: str) -> str:
    """The first letters of the first document in reading order, cut at a space if there is one."""
    index = int(reading_order(shards.folder, shards.split, language)[0])
    text = next(text for i, text in enumerate(shards.texts(language)) if i == index)
    line = " ".join(text.split())
    if len(line) <= _PROMPT_LETTERS:
        return line
    cut = line[: _PROMPT_LETTERS + 1].rfind(" ")
    return line[:cut] if cut > _PROMPT_LETTERS // 2 else line[: _PROMPT_LETTERS // 2]


def tasks(contest: Contest) -> list[Task]:
    """One task a model that is to write and has not yet."""
    if contest.settings.sample_tokens == 0:
        return []
    found = []
    for model, languages in _writers(contest).items():
        arguments = {
            "run": str(contest.run),
            "model": model,
            "languages": languages,
            "tokens": contest.settings.sample_tokens,
            "device": contest.device,
        }
        if not _is_done(contest.run, model, languages, contest.settings.sample_tokens):
            call = "xelm.evaluation.samples:write"
            found.append(Task(f"sample/{model}", call, arguments))
    return found


def _writers(contest: Contest) -> dict[str, list[str]]:
    """model -> languages it writes in."""
    writers: dict[str, list[str]] = {}
    for arm in contest.single_arms():
        for language, model in contest.models(arm, contest.orders[0]).items():
            writers.setdefault(model, []).append(language)
    return writers


def write(
    run: str | Path,
    model: str,
    languages: list[str],
    tokens: int,
    *,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> None:
    """Let a model go on with the prompt of each language -> `evaluation/samples/<model>.json`."""
    from xelm.corpus import tokenizer
    from xelm.models import seed

    run = Path(run)
    if _is_done(run, model, languages, tokens):
        return
    shards = TokenShards(run / "corpus", "heldout")
    pieces = tokenizer.load(run / "corpus" / "tokenizer")
    loaded = seed.load(run / "models" / model).to(device)
    texts = {}
    for number, language in enumerate(languages):
        report({"job": model, "languages": [language], "step": number, "steps": len(languages)})
        start = tokenizer.encode(pieces, [prompt(shards, language)])[0]
        new = _continue(loaded, [shards.end_of_text, *start], tokens, shards.end_of_text)
        texts[language] = pieces.decode(new)
    about = {"model": fingerprint_of(run, model), "tokens": tokens, "texts": texts}
    atomic.write_json(_place(run, model), about)


def _continue(model: Any, ids: list[int], tokens: int, end_of_text: int) -> list[int]:
    import torch

    start = torch.tensor([ids], device=model.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        out = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=tokens,
            do_sample=True,
            temperature=_TEMPERATURE,
            top_p=_TOP_P,
            pad_token_id=end_of_text,
        )
    new: list[int] = out[0, len(ids) :].tolist()
    return new[: new.index(end_of_text)] if end_of_text in new else new


def collect(contest: Contest) -> dict[str, Any]:
    """language -> {"prompt", "texts": {arm: text}}, of what was written."""
    if contest.settings.sample_tokens == 0:
        return {}
    found: dict[str, Any] = {}
    for language in contest.languages:
        models = {
            arm: contest.model(arm, language, contest.orders[0]) for arm in contest.single_arms()
        }
        texts = {
            arm: atomic.read_json(_place(contest.run, model))["texts"][language]
            for arm, model in models.items()
        }
        found[language] = {"prompt": prompt(contest.heldout, language), "texts": texts}
    return found


def _is_done(run: Path, model: str, languages: list[str], tokens: int) -> bool:
    path = _place(run, model)
    if not path.is_file():
        return False
    about = atomic.read_json(path)
    return bool(
        about["model"] == fingerprint_of(run, model)
        and about["tokens"] == tokens
        and set(languages) <= set(about["texts"])
    )


def _place(run: Path, model: str) -> Path:
    return Path(run) / "evaluation" / "samples" / f"{model}.json"
