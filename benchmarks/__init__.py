"""Benchmarks: commands that measure, and print what they measured and on what machine."""
