"""`--model onnx:FILE`: detectors that were exported as ONNX, run by onnxruntime.

`contents` reads the file, `session` runs it, `heads` makes boxes of its answers, `presentation` makes its
picture of a photo.
"""
