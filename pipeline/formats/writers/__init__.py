"""Writers of labels for detectors, a module a format."""
