"""Studies: arms under equal budgets, compared over paired seeds, with claims that the data carry."""
