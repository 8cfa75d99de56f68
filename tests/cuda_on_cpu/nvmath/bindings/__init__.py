"""The libraries."""

from nvmath.bindings import cublas, cublasLt

__all__ = ["cublas", "cublasLt"]
