"""What `params.yaml` says: settings, recipes, their schema, the components that it names, and where files lie."""
