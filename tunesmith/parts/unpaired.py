"""Single replies judged good or bad: losses that compare each with what the model was before, the drift that they are measured from, and
how well rewards tell good replies from bad ones.

Likelihoods are natural logarithms, summed over a reply's tokens, its end among them. The drift (`kl`) is how much likelier the model has
made replies to other prompts, in the mean of a batch: what KTO calls its reference point z0.

Axes: N rows of a set, B rows of a batch, K conversations of a row (its own; while training also its prompt with another row's reply),
T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import shorten
from ..task import Batch, Example, Graded, Outputs, Truth
from . import curves, preferring

if TYPE_CHECKING:
    import torch

    from ..inference import Encoded

LOSSES = ("kto", "apo")
BETA = preferring.BETA["dpo"]
"""What the paper and trl use."""
DIRECTIONS = {"reward_auroc": True, "reward_margin": True, "likelihood_auroc": True, "perplexity": False}
GOOD = frozenset(("true", "1", "1.0", "yes", "good", "up", "thumbs up", "thumbs_up", "desirable", "positive", "like", "liked"))
BAD = frozenset(
    ("false", "0", "0.0", "-1", "-1.0", "no", "bad", "down", "thumbs down", "thumbs_down", "undesirable", "negative", "dislike", "disliked")
)
"""How labels are written, in lower case."""


def judged(value: Any) -> bool | None:
    """Whether a cell says good (True) or bad (False); None where it says neither."""
    said = str(value).strip().lower()
    return True if said in GOOD else False if said in BAD else None


def weights(good: int, bad: int, desirable: float | str, undesirable: float | str) -> tuple[float, float, str]:
    """The weights of good and bad rows, and why: by themselves such that both kinds count alike (arXiv 2402.01306 and
    trl: the good ones' sum 1 to 4/3 of the bad ones'; 1 is taken). A weight that is given is kept, and the other one made to suit."""
    told = f"{good:,} good and {bad:,} bad rows"
    if desirable != "auto" and undesirable != "auto":
        return float(desirable), float(undesirable), "as asked"
    if not good or not bad:
        return 1.0, 1.0, told
    if desirable == "auto" and undesirable == "auto":
        desirable, undesirable = max(1.0, bad / good), max(1.0, good / bad)
    elif desirable == "auto":
        desirable = float(undesirable) * bad / good
    else:
        undesirable = float(desirable) * good / bad
    return float(desirable), float(undesirable), f"{told}: weighted so that both kinds count alike (arXiv 2402.01306)"


# -- rows --------------------------------------------------------------------------------------------------------------


def single(example: Example, good: bool) -> Example:
    """A conversation with the judgement of its reply; `split`: tokens of the row's own conversation."""
    return example | {"split": len(example["input_ids"]), "good": int(good)}


def mismatched(encoded: Encoded, most: int) -> Encoded:
    """Each row with its prompt and another row's reply behind its own conversation: that of the nearest row before it which answers
    another prompt (round the end), in the way of trl, which takes the row before within a batch. Cut at `most` tokens."""
    rows = range(len(encoded))
    held = [(np.asarray(encoded.arrays["input_ids"][row]), np.asarray(encoded.arrays["learn"][row])) for row in rows]
    parts = [_parts(*one) for one in held]
    other_N = _others([asked_T.tobytes() for asked_T, _, _ in parts])
    made = [np.concatenate([parts[row][0], parts[other_N[row]][1]])[:most] for row in rows]
    learn = [np.concatenate([np.zeros_like(held[row][1][: len(parts[row][0])]), parts[other_N[row]][2]])[:most] for row in rows]
    joined = {"input_ids": made, "learn": learn}
    return encoded.with_rows(**{
        name: [np.concatenate([one[at], new]) for one, new in zip(held, joined[name], strict=True)]
        for at, name in enumerate(("input_ids", "learn"))
    })  # fmt: skip


def _parts(ids_T: np.ndarray, learn_T: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is asked, the reply, and what of the reply is learned."""
    at = np.flatnonzero(learn_T)
    start, stop = (int(at[0]), int(at[-1]) + 1) if len(at) else (len(ids_T), len(ids_T))
    return ids_T[:start], ids_T[start:stop], learn_T[start:stop]


def _others(asked: Sequence[bytes]) -> list[int]:
    """Of each row the nearest one before it, round the end, whose prompt differs; the one before it where none does."""
    found, last = [], {}
    before = len(asked) - 1
    for row, prompt in enumerate([*asked, *asked]):
        if asked[before] != prompt:
            last[prompt] = before
        found.append(last.get(prompt, before))
        before = row % len(asked)
    return found[len(asked) :]


# -- likelihoods and losses --------------------------------------------------------------------------------------------


def likelihood(model: Any, batch: Batch, which: int) -> torch.Tensor:
    """(B,) log-likelihoods of the replies of the `which`-th conversation of each row."""
    found: torch.Tensor = -model({name: batch[name][:, which] for name in ("input_ids", "attention_mask", "learn")}).sum(1)
    return found


def represent(model: Any, batch: Batch) -> torch.Tensor:
    """(B, K, 1) log-likelihoods; nothing is learned from other rows' replies, as in the paper."""
    import torch

    own_B = likelihood(model, batch, 0)
    if batch["input_ids"].shape[1] < 2:
        return own_B[:, None, None]
    with torch.no_grad():
        other_B = likelihood(model, batch, 1)
    return torch.stack([own_B, other_B], 1)[..., None]


def drift(logp_BK: torch.Tensor, reference_BK: torch.Tensor) -> torch.Tensor:
    """The reference point of a batch: how much likelier replies to other prompts have become, in the mean; at least 0; no gradient."""
    return (logp_BK[:, 1] - reference_BK[:, 1]).mean().detach().clamp(min=0)


def losses(
    kind: str, logp_BK: torch.Tensor, reference_BK: torch.Tensor, good_B: torch.Tensor, beta: float, weight: tuple[float, float]
) -> torch.Tensor:
    """(B,) of the rows; `weight`: of good and of bad ones.

    kto (arXiv 2402.01306: 1 - sigmoid of the distance from the drift); apo: APO-zero for single rows (2408.06266), which measures
    from 0: good replies become likelier, bad ones less likely.
    """
    import torch

    ratio_B = logp_BK[:, 0] - reference_BK[:, 0]
    ahead_B = ratio_B - drift(logp_BK, reference_BK) if kind == "kto" else ratio_B
    good_B = good_B.bool()
    side_B = torch.where(good_B, ahead_B, -ahead_B)
    weight_B = torch.where(good_B, side_B.new_tensor(weight[0]), side_B.new_tensor(weight[1]))
    return weight_B * (1 - torch.sigmoid(beta * side_B))


def outputs(model: Any, batch: Batch) -> dict[str, Any]:
    """`logp` (B, K), `count`, `bytes` (B,); `reference` (B, K), the same before the adapter learned, where there is one to switch off."""
    sides = range(batch["input_ids"].shape[1])
    found = {"logp": _stacked(model, batch, sides), "count": batch["learn"][:, 0, 1:].sum(-1), "bytes": batch["bytes"]}
    before = model.untouched()
    if before is not None:
        with before:
            found["reference"] = _stacked(model, batch, sides)
    return found


def _stacked(model: Any, batch: Batch, sides: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.stack([likelihood(model, batch, which).double() for which in sides], 1)


# -- scores ------------------------------------------------------------------------------------------------------------


def condense(found: Outputs, truth: Truth) -> Outputs:
    """Numbers of each row: `reward` (how much likelier its reply became, in nats; where there is no such comparison its log-likelihood
    per token), `mean` (log-likelihood per token), `good`, and of good replies `nll` and `count`."""
    good_N = np.array([bool(good) for _, good in truth], bool)
    if "logp" not in found:
        reward_N, none_N = np.asarray(found["reward"], np.float64), np.zeros(len(good_N))
        return {"reward": reward_N, "mean": reward_N, "good": good_N, "nll": none_N, "count": none_N}
    logp_N, count_N = np.asarray(found["logp"], np.float64)[:, 0], np.asarray(found["count"], np.float64)
    of_good = {"good": good_N, "nll": -logp_N * good_N, "count": count_N * good_N}
    return {"reward": rewards(found), "mean": logp_N / np.maximum(count_N, 1), **of_good}


def rewards(found: Outputs) -> np.ndarray:
    """(N,) as in `condense`."""
    logp_N = np.asarray(found["logp"], np.float64)[:, 0]
    if "reference" in found:
        return logp_N - np.asarray(found["reference"], np.float64)[:, 0]
    means: np.ndarray = logp_N / np.maximum(np.asarray(found["count"], np.float64), 1)
    return means


def score(found: Outputs, truth: Truth) -> dict[str, float]:
    """How often a good reply has a higher reward than a bad one, of any two (ties count half); the distance of their means; the same of
    likelihoods per token; the perplexity of good replies. NaN where there are none of a kind."""
    found = found if "good" in found else condense(found, truth)
    good_N, reward_N = np.asarray(found["good"], bool), np.asarray(found["reward"])
    count, both = float(np.sum(found["count"])), bool(good_N.any() and not good_N.all())
    return {
        "reward_auroc": _auroc(reward_N, good_N),
        "reward_margin": float(reward_N[good_N].mean() - reward_N[~good_N].mean()) if both and count else math.nan,
        "likelihood_auroc": _auroc(np.asarray(found["mean"]), good_N),
        "perplexity": math.exp(min(float(np.sum(found["nll"])) / count, 700.0)) if count else math.nan,
    }


def _auroc(value_N: np.ndarray, good_N: np.ndarray) -> float:
    return float(curves.auroc(value_N[:, None], [np.flatnonzero(good_N)])[0])


def longer(truth: Truth) -> Outputs:
    """The simple judge that many preferences are fooled by: the longer a reply, the better."""
    return {"reward": np.array([float(len(text)) for text, _ in truth])}


def answers(found: Outputs) -> list[dict[str, Any]]:
    """The reward of each reply."""
    return [{"reward": round(float(one), 4)} for one in rewards(found)]


def grade(found: Outputs, truth: Truth) -> Graded:
    """Rows for the report, those first that are furthest on the wrong side: bad replies that became likelier, good ones less likely."""
    reward_N = rewards(found) if "logp" in found else np.asarray(found["reward"], np.float64)
    good_N, none_N = np.array([bool(good) for _, good in truth], bool), np.full(len(truth), np.nan)
    wanted = [f"{'good' if good else 'bad'}: {shorten(str(text), 400)}" for text, good in truth]
    loss_N = np.where(good_N, -reward_N, reward_N)
    said = [f"reward {reward:.3f}" for reward in reward_N]
    return Graded(wanted, said, loss_N < 0, loss_N, none_N, none_N, by_degree=True, degree="reward, its sign turned for good replies")

