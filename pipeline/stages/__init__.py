"""The pipeline, one package a stage."""
