"""For authors of backends: conformance vectors, random models, images.

Nothing here needs a test framework.
"""
