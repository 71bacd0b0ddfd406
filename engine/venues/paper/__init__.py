"""The paper venue: any feed, wrapped into a venue that fills honestly."""
