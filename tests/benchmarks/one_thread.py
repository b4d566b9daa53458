"""Imported first, for its effect: BLAS and OpenMP use one thread, so that CPU seconds are those of one core."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
