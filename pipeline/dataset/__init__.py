"""What stages exchange: tables, chip stores, value scaling."""
