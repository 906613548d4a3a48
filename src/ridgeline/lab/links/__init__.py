"""Links with latency, loss and rate, whatever the kernel can do."""
