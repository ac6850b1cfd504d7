"""Detectors whose code torchvision has, asked as `--model torchvision:NAME`."""
