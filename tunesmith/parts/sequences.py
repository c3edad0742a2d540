"""Labels of a text's words judged as one sequence: how likely a sequence is, and how likely each label over all of them (a linear-chain
conditional random field; Lafferty et al. 2001, arXiv 1508.01991).

Axes: B windows of a batch, T tokens, W words of a window, C labels; moves_CC from a label to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def moves_of(model: nn.Module, logits_BTC: torch.Tensor) -> torch.Tensor:
    """What a model has learned of steps from label to label; nothing where its head was solved, which judges each word alone."""
    moves_CC: torch.Tensor | None = getattr(getattr(model, "head", None), "moves_CC", None)
    return logits_BTC.new_zeros(2 * logits_BTC.shape[2:]).float() if moves_CC is None else moves_CC


def loss(logits_BTC: torch.Tensor, label_BT: torch.Tensor, moves_CC: torch.Tensor) -> torch.Tensor:
    """SUM over windows of -log of the probability of their labels, one after another; tokens with a label below 0 are passed over."""
    scores_BWC, there_BW, order_BW = words_of(logits_BTC, label_BT >= 0)
    label_BW = label_BT.gather(1, order_BW).clamp(min=0).long()
    total_B = forward(scores_BWC, there_BW, moves_CC)[:, -1].logsumexp(1)
    own_BW = scores_BWC.gather(2, label_BW[..., None])[..., 0]
    own_BW[:, 1:] += moves_CC[label_BW[:, :-1], label_BW[:, 1:]]
    return ((total_B - (own_BW * there_BW).sum(1)) * there_BW[:, 0]).sum()


def log_probabilities(logits_BTC: torch.Tensor, own_BT: torch.Tensor, moves_CC: torch.Tensor) -> list[torch.Tensor]:
    """Of each window (W, C): the logarithm of the probability of each label at each of its words, over all sequences."""
    scores_BWC, there_BW, _ = words_of(logits_BTC, own_BT)
    alpha_BWC = forward(scores_BWC, there_BW, moves_CC)
    log_BWC = alpha_BWC + _backward(scores_BWC, there_BW, moves_CC) - alpha_BWC[:, -1:].logsumexp(2, keepdim=True)
    return [log_WC[there_W] for log_WC, there_W in zip(log_BWC, there_BW)]


def words_of(logits_BTC: torch.Tensor, own_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, W, C) scores of the tokens that speak for words, moved to the left in order; (B, W) which are there; (B, W) their tokens."""
    import torch

    order_BW = torch.argsort((~own_BT).to(torch.uint8), dim=1, stable=True)[:, : max(1, int(own_BT.sum(1).max()))]
    scores_BWC = logits_BTC.float().gather(1, order_BW[..., None].expand(-1, -1, logits_BTC.shape[2]))
    return scores_BWC, own_BT.gather(1, order_BW), order_BW


def forward(scores_BWC: torch.Tensor, there_BW: torch.Tensor, moves_CC: torch.Tensor) -> torch.Tensor:
    """(B, W, C) log of the summed weights of all sequences up to a word that end in a label; behind the last word that one's again."""
    import torch

    alphas = [scores_BWC[:, 0]]
    for at in range(1, scores_BWC.shape[1]):
        further_BC = (alphas[-1][:, :, None] + moves_CC).logsumexp(1) + scores_BWC[:, at]
        alphas.append(torch.where(there_BW[:, at, None], further_BC, alphas[-1]))
    return torch.stack(alphas, 1)


def _backward(scores_BWC: torch.Tensor, there_BW: torch.Tensor, moves_CC: torch.Tensor) -> torch.Tensor:
    """(B, W, C) the same of all that may follow a label; 0 at the last word and behind it."""
    import torch

    betas = [torch.zeros_like(scores_BWC[:, 0])]
    for at in range(scores_BWC.shape[1] - 1, 0, -1):
        further_BC = (moves_CC + (scores_BWC[:, at] + betas[-1])[:, None]).logsumexp(2)
        betas.append(torch.where(there_BW[:, at, None], further_BC, betas[-1]))
    return torch.stack(betas[::-1], 1)
