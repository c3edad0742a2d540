"""Which of two replies is the better one: losses that compare their likelihoods, rewards, and how often the chosen one is ahead.

Likelihoods are natural logarithms, summed over a reply's tokens, its end among them; a pair is (chosen, rejected).

Axes: N rows of a set, B rows of a batch, 2 replies of a pair, T tokens.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import shorten
from ..task import Batch, Example, Graded, Outputs, Truth

if TYPE_CHECKING:
    import torch

REFERRED = ("dpo", "ipo", "hinge")
"""Losses that compare the model with what it was before."""
LOSSES = (*REFERRED, "orpo", "simpo")
BETA = {"dpo": 0.1, "ipo": 0.1, "hinge": 0.1, "orpo": 0.1, "simpo": 2.0}
"""What the papers use, or most of their runs."""
DIRECTIONS = {"reward_accuracy": True, "reward_margin": True, "win_rate": True, "perplexity": False}


# -- pairs -------------------------------------------------------------------------------------------------------------


def pair(chosen: Example, rejected: Example) -> Example:
    """Both in one row: end to end, so that batches are cut by what both take."""
    both = {name: np.concatenate([chosen[name], rejected[name]]) for name in ("input_ids", "learn")}
    return both | {"split": len(chosen["input_ids"]), "bytes": chosen["bytes"]}


# -- likelihoods and losses --------------------------------------------------------------------------------------------


def likelihoods(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2) log-likelihoods of the replies, and (B, 2) how many tokens each has."""
    flat = {name: batch[name].flatten(0, 1) for name in ("input_ids", "attention_mask", "learn")}
    rows = len(batch["input_ids"])
    return -model(flat).sum(1).view(rows, 2), batch["learn"][..., 1:].sum(-1)


def losses(
    kind: str, logp_B2: torch.Tensor, count_B2: torch.Tensor, reference_B2: torch.Tensor | None, beta: float, gamma: float
) -> torch.Tensor:
    """(B,) of the pairs.

    dpo (arXiv 2305.18290, eq. 7); ipo (2310.12036, eq. 17, by the token, as its authors do); hinge (SLiC, 2305.10425);
    orpo (2403.07691, eq. 6; by the token); simpo (2405.14734, eq. 6; `gamma`: how far ahead the chosen one is to be).
    """
    from torch.nn.functional import logsigmoid

    mean_B2 = logp_B2 / count_B2.clamp(min=1)
    if kind == "simpo":
        return -logsigmoid(beta * (mean_B2[:, 0] - mean_B2[:, 1]) - gamma)
    if kind == "orpo":
        odds_B2 = mean_B2 - _log1mexp(mean_B2)
        return -mean_B2[:, 0] - beta * logsigmoid(odds_B2[:, 0] - odds_B2[:, 1])
    assert reference_B2 is not None, "learned from rows that were mined"
    ratio_B2 = logp_B2 - reference_B2
    if kind == "ipo":
        ratio_B2 = ratio_B2 / count_B2.clamp(min=1)
        found: torch.Tensor = (ratio_B2[:, 0] - ratio_B2[:, 1] - 1 / (2 * beta)) ** 2
        return found
    ahead_B = beta * (ratio_B2[:, 0] - ratio_B2[:, 1])
    return (1 - ahead_B).relu() if kind == "hinge" else -logsigmoid(ahead_B)


def _log1mexp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) for x < 0, exact at both ends (Maechler 2012)."""
    import torch

    x = x.clamp(max=-1e-7)
    return torch.where(x > -math.log(2), (-torch.expm1(x)).log(), torch.log1p(-x.exp()))


def outputs(model: Any, batch: Batch, kind: str) -> dict[str, Any]:
    """`logp` and `count` (B, 2), `bytes`; `reference` (B, 2), the same before the adapter learned, where the loss compares with it."""
    logp_B2, count_B2 = likelihoods(model, batch)
    found = {"logp": logp_B2.double(), "count": count_B2, "bytes": batch["bytes"]}
    before = model.untouched() if kind in REFERRED else None
    if before is not None:
        with before:
            found["reference"] = likelihoods(model, batch)[0].double()
    return found


# -- scores ------------------------------------------------------------------------------------------------------------


def rewards(found: Outputs) -> np.ndarray:
    """(N, 2): how much likelier each reply has become, in nats; where there is no such comparison its log-likelihood per token."""
    if "reward" in found:
        return np.asarray(found["reward"], np.float64)
    logp_N2 = np.asarray(found["logp"], np.float64)
    if "reference" in found:
        return logp_N2 - np.asarray(found["reference"], np.float64)
    return _means(found)


def condense(found: Outputs) -> Outputs:
    """Numbers of each row that scores are sums of: `reward` and `mean` (N, 2), `nll` and `count` of the chosen reply."""
    reward_N2 = rewards(found)
    if "logp" not in found:
        none_N = np.zeros(len(reward_N2))
        return {"reward": reward_N2, "mean": reward_N2, "nll": none_N, "count": none_N}
    return {"reward": reward_N2, "mean": _means(found), "nll": -np.asarray(found["logp"], np.float64)[:, 0], "count": found["count"][:, 0]}


def _means(found: Outputs) -> np.ndarray:
    means: np.ndarray = np.asarray(found["logp"], np.float64) / np.maximum(found["count"], 1)
    return means


def score(found: Outputs) -> dict[str, float]:
    """Shares of rows in which the chosen reply is ahead (ties count half), the mean distance, the perplexity of chosen replies."""
    found = found if "mean" in found else condense(found)
    reward_N2, count = np.asarray(found["reward"]), float(np.sum(found["count"]))
    return {
        "reward_accuracy": _ahead(reward_N2),
        "reward_margin": float((reward_N2[:, 0] - reward_N2[:, 1]).mean()) if count else math.nan,
        "win_rate": _ahead(found["mean"]),
        "perplexity": math.exp(min(float(np.sum(found["nll"])) / count, 700.0)) if count else math.nan,
    }


def _ahead(value_N2: np.ndarray) -> float:
    if not len(value_N2):
        return math.nan
    return float(((value_N2[:, 0] > value_N2[:, 1]) + 0.5 * (value_N2[:, 0] == value_N2[:, 1])).mean())


def longer(truth: Truth) -> Outputs:
    """The simple judge that many preferences are fooled by: the longer reply is the better one."""
    return {"reward": np.array([[float(len(text)) for text in both] for both in truth]).reshape(-1, 2)}


def answers(found: Outputs) -> list[dict[str, Any]]:
    """Which of the two the model prefers, and by how much."""
    apart_N = np.diff(rewards(found), axis=1)[:, 0]
    return [{"prefers": "rejected" if apart > 0 else "chosen", "reward_margin": round(float(-apart), 4)} for apart in apart_N]


def grade(found: Outputs, truth: Truth) -> Graded:
    """Rows for the report, those first where the rejected reply is furthest ahead."""
    apart_N = -np.diff(rewards(found), axis=1)[:, 0]
    wanted = [shorten(str(chosen), 400) for chosen, _ in truth]
    said = [one if apart > 0 else shorten(str(rejected), 400) for one, (_, rejected), apart in zip(wanted, truth, apart_N)]
    none_N = np.full(len(apart_N), np.nan)
    return Graded(wanted, said, apart_N > 0, -apart_N, none_N, none_N)
