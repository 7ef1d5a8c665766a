"""Writers of labels for detectors, a module a format."""

DETECTORS = ("coco", "yolo", "yolo-seg", "voc", "dota")
"""Formats of labels for detectors that have images of their own; :mod:`.table` has their writers."""
