"""What is changed while clients use it: zones, keys, pages, and which sites announce."""
