"""Scenes and labels of any kind in, a scene table and a label table out."""
