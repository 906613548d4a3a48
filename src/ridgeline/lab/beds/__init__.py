"""The smallest labs, to test and measure one thing with."""
