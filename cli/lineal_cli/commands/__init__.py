"""The commands, one module for each family; each returns an `Answer` made of the facade's document."""
