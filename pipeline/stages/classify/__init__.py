"""Ship classifier and the arms of the experiment."""
