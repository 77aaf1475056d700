from steps import stage
