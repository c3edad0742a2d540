"""A tuned model without Tunesmith: some lines of plain transformers that compute the same probabilities or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.loading import ENCODERS

FOLDED = ("LORA", "IA3", "VERA")
"""Adapters that change weights and nothing else, which peft puts on the model in one call."""
POOLED = {
    "mean": "(hidden * mask).sum(1) / mask.sum(1)  # the mean over each text's tokens",
    "cls": "hidden[:, 0]  # the first token's",
    "last": "hidden[torch.arange(len(texts)), batch[\"attention_mask\"].sum(1) - 1]  # the last token's",
}
ANSWERS = {
    "text-classification": "probabilities = (answers / {temperature!r}).softmax(-1)  # by the temperature of calibration",
    "text-multilabel": "probabilities = (answers / {temperature!r}).sigmoid()  # by the temperature of calibration",
    "text-regression": "values = answers * torch.tensor({deviations}) + torch.tensor({means})  # in the data's units",
}
"""Task -> what follows the linear head."""
LABELS = "labels = list(backbone.config.id2label.values())  # in the order of the columns"


def recipe(shown: str, task: Mapping[str, Any], head: Mapping[str, Any], config: Mapping[str, Any], adapter: Mapping[str, Any]) -> str:
    """Python that answers a text by the run's model; empty where plain libraries cannot (other tasks, heads and adapters).

    `shown`: the run's folder as it is to be written there; then what the run's files of these names say, nothing where they are not there.
    """
    values, pooling = task.get("values") or {}, head.get("pooling")
    kind = adapter.get("peft_type") if head.get("adapter") else ""
    pair = values.get("text_pair")
    if task.get("name") not in ANSWERS or pooling not in POOLED or kind not in ("", *FOLDED) or (pair and pooling == "last"):
        return ""
    loader = ENCODERS.get(str(config.get("model_type")), "AutoModel")
    return "\n".join(_lines(f"{shown}/model", values, str(task["name"]), str(pooling), loader, bool(kind), bool(pair)))


def _lines(folder: str, values: Mapping[str, Any], task: str, pooling: str, kind: str, adapter: bool, pair: bool) -> list[str]:
    last = ANSWERS[task].format(**{key: _numbers(values.get(key)) for key in ("temperature", "deviations", "means")})
    asked = 'texts, pairs = ["your text"], ["what stands beside it"]' if pair else 'texts = ["your text"]'
    return [
        "import torch", *(["from peft import PeftModel"] if adapter else []), "from safetensors.torch import load_file",
        f"from transformers import {kind}, AutoTokenizer", "",
        f"folder = {folder!r}",
        f"tokenizer, backbone = AutoTokenizer.from_pretrained(folder), {kind}.from_pretrained(folder).eval()",
        *(['backbone = PeftModel.from_pretrained(backbone, folder + "/adapter").eval()'] if adapter else []),
        'head = load_file(folder + "/head.safetensors")',
        asked,
        f"how = dict(padding=True, truncation=True, max_length={int(values['tokens_kept'])}, return_tensors=\"pt\")",
        f"batch = tokenizer(texts, {'pairs, ' if pair else ''}**how)",
        "with torch.no_grad():",
        "    hidden = backbone(**batch).last_hidden_state.float()",
        *(['mask = batch["attention_mask"].unsqueeze(-1)'] if pooling == "mean" else []),
        f"vectors = {POOLED[pooling]}",
        'answers = vectors @ head["head.weight"].T + head["head.bias"]',
        last,
        *([] if task == "text-regression" else [LABELS]),
    ]  # fmt: skip


def _numbers(value: Any) -> Any:
    return list(map(float, value)) if isinstance(value, list) else value
