"""Data that stages exchange: tables, chip stores, value scaling."""
