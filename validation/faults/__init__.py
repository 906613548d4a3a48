"""The parts of `validation/agent_faults.py`."""
