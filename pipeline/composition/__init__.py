"""Objects in front of backgrounds: masks of labelled objects, layers cut along them, and composites."""
