"""The dashboards, a module each, made of the parts in `parts`."""
