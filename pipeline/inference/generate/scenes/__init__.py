"""Put generated objects into the user's own scenes."""
