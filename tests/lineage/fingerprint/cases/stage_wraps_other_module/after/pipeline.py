from w import stage
