"""Dropout drops the share that it says, leaves the mean, and depends on the seed alone."""

import pytest
import torch
from torch import nn

from tunesmith.models.dropout import QuickDropout, quicken


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(401, 997), (3, 7, 19_001)])
def test_a_share_is_dropped_and_the_mean_stays(p, shape):
    torch.manual_seed(0)
    found = QuickDropout(p).train()(torch.ones(shape))
    gone, values = (found == 0).float().mean().item(), found.unique()
    error = (p * (1 - p) / found.numel()) ** 0.5
    assert gone == pytest.approx(p, abs=5 * error)
    assert len(values) == 2 and values[1].item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert found.mean().item() == pytest.approx(1, abs=5 * error / (1 - p))


def test_neighbours_are_dropped_independently():
    """Four masks come of one number: no two of the four, nor of two numbers, go together."""
    torch.manual_seed(0)
    gone = (QuickDropout(0.5).train()(torch.ones(400_000)) == 0).double().view(-1, 4)
    both = torch.corrcoef(torch.cat([gone[:-1], gone[1:]], 1).T)
    assert (both - torch.eye(8, dtype=both.dtype)).abs().max() < 5 / len(gone) ** 0.5


def test_the_same_seed_drops_the_same_and_the_gradient_is_the_mask():
    x, drop = torch.randn(33, 5, requires_grad=True), QuickDropout(0.3).train()
    torch.manual_seed(1)
    first = drop(x)
    torch.manual_seed(1)
    assert torch.equal(drop(x), first)
    first.sum().backward()
    assert torch.equal(x.grad * x, first)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.4, False), (1e-9, True)])
def test_nothing_is_dropped_where_nothing_is_to_be(p, training):
    x = torch.randn(10)
    assert torch.equal(QuickDropout(p).train(training)(x), x)
    assert not QuickDropout(1.0).train()(x).any()


def test_every_plain_dropout_is_replaced_as_it_was():
    model = nn.Sequential(nn.Dropout(0.2), nn.ModuleDict({"a": nn.Dropout(0.3)}), nn.Dropout2d(0.1)).eval()
    quicken(model)
    assert [(type(part), part.p, part.training) for part in (model[0], model[1]["a"], model[2])] == [
        (QuickDropout, 0.2, False), (QuickDropout, 0.3, False), (nn.Dropout2d, 0.1, False),
    ]  # fmt: skip
