"""Matrix products in small blocks: they stay in the cache, and below the size at which a BLAS starts threads.

OpenBLAS splits a product of more than 2^18 multiplications over all cores and lets the idle ones spin: on a busy
machine that cost 2 to 5 times the CPU seconds of the fit (measured on 2 cores).
"""

from __future__ import annotations

import numpy as np

from blocks.series import Float

LARGEST_PRODUCT = 2**18


def in_blocks(rows: Float, matrix: Float) -> Float:
    """(N, M) product of rows (N, K) and matrix (K, M).

    >>> in_blocks(np.ones((3, 2), np.float32), np.ones((2, 1), np.float32)).tolist()
    [[2.0], [2.0], [2.0]]
    """
    size = max(1, LARGEST_PRODUCT // max(1, matrix.size))
    answer = np.empty((len(rows), matrix.shape[1]), np.float32)
    for begin in range(0, len(rows), size):
        np.matmul(rows[begin : begin + size], matrix, out=answer[begin : begin + size])
    return answer


def split(columns: Float, width: int) -> Float:
    """(C, F, width) blocks of the columns of an (F, N) matrix, the last one filled up with zeros.

    >>> split(np.array([[1, 2, 3]], np.float32), 2).tolist()
    [[[1.0, 2.0]], [[3.0, 0.0]]]
    """
    blocks = -(-columns.shape[1] // width)
    padded = np.zeros((len(columns), blocks * width), np.float32)
    padded[:, : columns.shape[1]] = columns
    return np.ascontiguousarray(padded.reshape(len(columns), blocks, width).transpose(1, 0, 2))
