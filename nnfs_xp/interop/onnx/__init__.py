"""Models as ONNX files, to be run without this library: in onnxruntime, browsers, databases."""

from nnfs_xp.interop.onnx.converters import CONVERTERS
from nnfs_xp.interop.onnx.export import export_onnx
from nnfs_xp.interop.onnx.graph import Converter, Graph

__all__ = ["CONVERTERS", "Converter", "Graph", "export_onnx"]
