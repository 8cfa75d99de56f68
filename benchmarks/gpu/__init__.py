"""The parts of ``python -m benchmarks.gpu_check``, each run in a process of its own."""
