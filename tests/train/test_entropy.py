"""Cross entropy in chunks is PyTorch's."""

import pytest
import torch

from fcbench.train import _entropy


@pytest.mark.parametrize("n", [0, 1, 7, 8, 23])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_those_of_pytorch(n, dtype, monkeypatch):
    monkeypatch.setattr(_entropy, "CHUNK", 4 * 50)  # four rows at a time
    torch.manual_seed(n)
    logits = (5 * torch.randn(n, 50)).to(dtype)
    wanted = torch.randint(50, (n,))

    def run(loss_of):
        given = logits.clone().requires_grad_()
        loss = loss_of(given, wanted)
        (loss / 3).backward()
        return loss.detach(), given.grad

    def plain(given, ids):
        return torch.nn.functional.cross_entropy(given.float(), ids, reduction="sum")

    (loss, gradient), (expected, wanted_gradient) = run(_entropy.cross_entropy), run(plain)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-5, atol=1e-6)
    assert gradient.dtype == dtype


def test_logits_far_apart_are_no_infinity():
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = _entropy.cross_entropy(logits, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 2e4
    assert logits.grad.tolist() == [[1.0, -1.0, 0.0]]
