"""What the kernel does for a lab: namespaces, rtnetlink in batches, processes, sockets."""
