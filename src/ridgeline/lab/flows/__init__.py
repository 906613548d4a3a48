"""Sessions held open through an event, and what became of each."""
