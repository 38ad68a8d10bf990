"""Where a folder's ONNX files are, and how onnxruntime runs them (no torch here)."""

from pathlib import Path

import onnxruntime

FP32, INT8 = "fp32", "int8"
# The names that the hub and transformers.js look for.
FILES = {FP32: "onnx/model.onnx", INT8: "onnx/model_quantized.onnx"}


def open_session(path: str | Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX file on the CPU, one operation after the other, each on `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # only errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
