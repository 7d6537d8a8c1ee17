"""Set before any test imports Triton, which reads it once."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # tests/fisher/test_gpu.py runs the kernel without a GPU
