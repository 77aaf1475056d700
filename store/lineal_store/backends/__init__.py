"""Places to keep bytes. Each is one module, imported when a store of its kind is opened."""
