"""The edge agent: a small process that serves models, fetches them intact, trains, and works through partitions.

The standard library, numpy, `cryptography` and, with the first model, onnxruntime: an import contract holds that.
"""
