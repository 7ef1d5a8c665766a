"""Errors, atomic files, safe CSV, redaction."""
