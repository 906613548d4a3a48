"""The agent beside a real router, in namespaces."""
