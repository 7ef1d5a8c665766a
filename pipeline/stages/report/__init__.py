"""Report: from predictions to the verdict, and the page that shows it."""
