"""To-dos: rules find facts, `upkeep` keeps a row for each, staff end them by `acts`."""
