"""Pipeline, one package a stage."""
