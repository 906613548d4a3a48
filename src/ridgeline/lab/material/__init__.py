"""What sites are given before they start: keys, certificates, zones, and the names above them."""
