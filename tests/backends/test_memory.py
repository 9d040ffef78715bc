"""How many sequences fit follows from the memory that is left."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from fcbench.backends.transformers import _memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("free", "bytes_each", "n"),
    [(0, 10, 1), (1999, 100, 9), (2000, 100, 10), (10**12, 100, _memory.MOST), (100, 0, 50)],
)
def test_half_of_the_free_memory_is_for_the_sequences(free, bytes_each, n):
    assert _memory.n_sequences(free, bytes_each) == n


def test_what_a_container_may_take_is_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "GROUP", tmp_path)
    without = _memory.free_bytes(CPU)
    assert without > 1e6
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.free_bytes(CPU) > 1e6
    (tmp_path / "memory.max").write_text("800000\n")
    assert _memory.free_bytes(CPU) == 500_000
    (tmp_path / "memory.max").write_text("200000\n")
    assert _memory.free_bytes(CPU) == 0


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (IndexError("index out of range"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, is_memory):
    assert _memory.is_out_of_memory(error) is is_memory
