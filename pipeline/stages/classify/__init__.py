"""The ship classifier and the arms of the experiment."""
